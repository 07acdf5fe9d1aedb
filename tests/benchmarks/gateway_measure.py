"""One domain server, and what stands in front of it, each in a process of its own; measured in turns."""

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from tests.benchmarks.load import drive
from tests.benchmarks.machine import cpu_seconds
from tests.benchmarks.stack_measure import MOST_CALLERS, Cell, Sample, Samples, Server, launch, warm

DIRECT, GATEWAY, PROXY = "direct", "gateway", "FastMCP proxy"
UNLIMITED = {"TRIPTYCH_RATE_LIMIT_PER_SECOND": "1e9", "TRIPTYCH_RATE_LIMIT_BURST": "1000000000"}


@dataclass(frozen=True)
class Way:
    """How calls reach the domain: its own port, or that of a process in front. CPU is counted of all of them."""

    server: Server
    pids: Sequence[int]

    def cpu(self) -> float:
        return sum(map(cpu_seconds, self.pids))


def start_domain(folder: Path) -> Server:
    """The server with the suite's whole stack, and keys for its callers in the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    store = ApiKeyStore(api_keys_path(CommonSettings(data_dir=folder)))
    keys = [store.create(f"caller-{number}", "acme", ["user"], [])[1] for number in range(MOST_CALLERS)]
    module = ["tests.benchmarks.stack_server", "audited", "--folder", str(folder)]
    return launch(module, folder / "domain.log", keys)


def start_gateway(
    folder: Path, domains: Mapping[str, Sequence[str]], keys: Sequence[str], more: Mapping[str, str] | None = None
) -> Server:
    """`triptych serve gateway` with limits that nobody reaches."""
    environment = {**UNLIMITED, "GATEWAY_DOMAINS": json.dumps(domains), **(more or {})}
    started = launch(
        ["infra.cli", "serve", "gateway", "--data-dir", str(folder)], folder / "gateway.log", keys, environment
    )
    return Server(started.process, started.port, keys, "kb_echo")


@contextlib.contextmanager
def ways(folder: Path, proxy: bool = True) -> Iterator[dict[str, Way]]:
    """All ways to the same domain server, warmed up in both eras."""
    with contextlib.ExitStack() as stack:

        def kept(server: Server) -> Server:
            stack.callback(server.process.wait, 30)
            stack.callback(server.process.terminate)
            return server

        domain = kept(start_domain(folder))
        url = f"http://127.0.0.1:{domain.port}/mcp"
        pid = domain.process.pid
        found = {DIRECT: Way(domain, [pid])}
        gateway = kept(start_gateway(folder, {"kb": [url]}, domain.keys))
        found[GATEWAY] = Way(gateway, [pid, gateway.process.pid])
        if proxy:
            started = kept(launch(["tests.benchmarks.gateway_proxy", url], folder / "proxy.log", domain.keys))
            found[PROXY] = Way(
                Server(started.process, started.port, domain.keys, "kb_echo"), [pid, started.process.pid]
            )
        for way in found.values():
            warm(way.server)
        yield found


def measure(way: Way, cell: Cell, seconds: float) -> Sample:
    """One turn."""
    before = way.cpu()
    load = drive(way.server.port, way.server.requests(cell.era, cell.callers), seconds)
    cpu = way.cpu() - before
    return Sample(cpu / load.calls * 1000, load.per_second, load.milliseconds(0.5), load.milliseconds(0.99))


def in_turns(
    found: Mapping[str, Way], cells: Sequence[Cell], rounds: int, seconds: float, progress: Callable[[int], None]
) -> Samples:
    """What drifts on the machine meets all ways alike."""
    samples: dict[tuple[Cell, str], list[Sample]] = {}
    order, done = deque(found.items()), 0
    for _ in range(rounds):
        order.rotate(-1)
        for cell in cells:
            for name, way in order:
                samples.setdefault((cell, name), []).append(measure(way, cell, seconds))
                done += 1
                progress(done)
    return samples


def over(samples: Samples, cell: Cell, way: str, figure: str) -> float:
    """Median over the rounds of this way's figure as a multiple of the direct one's in the same round."""
    pairs = zip(samples[cell, way], samples[cell, DIRECT], strict=True)
    return float(median(getattr(ours, figure) / getattr(theirs, figure) for ours, theirs in pairs))
