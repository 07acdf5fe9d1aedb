"""Runs the variants of the stack benchmark side by side, and measures them in turns."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev

from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from infra.demo.servers import free_port
from tests.benchmarks.load import Load, drive
from tests.benchmarks.machine import cpu_seconds_of_family
from tests.benchmarks.requests import ERAS, Era, raw_request, structured

START_SECONDS = 60.0
MOST_CALLERS = 32
ARGUMENTS = {"text": "hello"}


@dataclass(frozen=True)
class Variant:
    """How a server is built."""

    name: str
    build: str
    tools: int = 1
    workers: int = 1


@dataclass(frozen=True)
class Server:
    """A running variant, and one API key for each caller."""

    process: "subprocess.Popen[bytes]"
    port: int
    keys: Sequence[str]

    tool: str = "echo"

    def requests(self, era: Era, callers: int) -> list[bytes]:
        """The call of each caller."""
        return [raw_request(era, self.tool, ARGUMENTS, self.port, key) for key in self.keys[:callers]]


@dataclass(frozen=True)
class Sample:
    """One turn of one variant; times in milliseconds."""

    cpu: float
    per_second: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Cell:
    """What all variants are measured at, in turns."""

    era: Era
    callers: int


Samples = Mapping[tuple[Cell, str], list[Sample]]


@contextlib.contextmanager
def serving(variants: Sequence[Variant], folder: Path) -> Iterator[dict[str, Server]]:
    """All variants, each in a process of its own, warmed up in both eras."""
    servers: dict[str, Server] = {}
    try:
        for variant in variants:
            servers[variant.name] = _start(variant, folder / f"{variant.build}-{variant.tools}-{variant.workers}")
        for server in servers.values():
            warm(server)
        yield servers
    finally:
        for server in servers.values():
            server.process.terminate()
        for server in servers.values():
            server.process.wait(30)


def _start(variant: Variant, folder: Path) -> Server:
    folder.mkdir(parents=True)
    store = ApiKeyStore(api_keys_path(CommonSettings(data_dir=folder)))
    keys = [store.create(f"caller-{number}", "acme", ["user"], [])[1] for number in range(MOST_CALLERS)]
    command = ["tests.benchmarks.stack_server", variant.build, "--tools", str(variant.tools)]
    command += ["--folder", str(folder), "--workers", str(variant.workers)]
    return launch(command, folder / "server.log", keys)


def launch(
    module: Sequence[str], output: Path, keys: Sequence[str], environment: Mapping[str, str] | None = None
) -> Server:
    """`python -m MODULE... --port PORT`, once it listens."""
    port = free_port(0)
    command = [sys.executable, "-m", *module, "--port", str(port)]
    with output.open("wb") as log:
        environment = {**os.environ, **(environment or {})}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    server = Server(process, port, keys)
    try:
        _wait_for_port(server)
    except BaseException:
        process.kill()
        raise
    return server


def _wait_for_port(server: Server) -> None:
    started = time.monotonic()
    while time.monotonic() - started < START_SECONDS and server.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"a server of the benchmark did not start: {server.process.args!r}")


def warm(server: Server) -> None:
    for era in ERAS:
        load = drive(server.port, server.requests(era, 8), 0.5)
        if structured(load.answer) != {"result": ARGUMENTS["text"]}:
            raise RuntimeError(f"not the answer of the tool: {load.answer!r}")


def measure(server: Server, cell: Cell, seconds: float) -> Sample:
    """One turn."""
    before = cpu_seconds_of_family(server.process.pid)
    load: Load = drive(server.port, server.requests(cell.era, cell.callers), seconds)
    cpu = cpu_seconds_of_family(server.process.pid) - before
    return Sample(cpu / load.calls * 1000, load.per_second, load.milliseconds(0.5), load.milliseconds(0.99))


def in_turns(
    servers: Mapping[str, Server],
    cells: Sequence[Cell],
    rounds: int,
    seconds: float,
    progress: Callable[[int], None],
    pause: float = 0.0,
) -> Samples:
    """A B C D, B C D A, ...: what drifts on the machine meets all variants alike."""
    samples: dict[tuple[Cell, str], list[Sample]] = {}
    order = deque(servers.items())
    done = 0
    for _ in range(rounds):
        order.rotate(-1)
        for cell in cells:
            for name, server in order:
                time.sleep(pause)
                samples.setdefault((cell, name), []).append(measure(server, cell, seconds))
                done += 1
                progress(done)
    return samples


def middle(samples: Sequence[Sample]) -> Sample:
    """The median of each figure."""
    return Sample(
        *(median(getattr(sample, name) for sample in samples) for name in ("cpu", "per_second", "p50", "p99"))
    )


def added_cpu(samples: Samples, cell: Cell, variant: str, base: str) -> float:
    """Median over the rounds of what a call costs more than the base's in the same round."""
    pairs = zip(samples[cell, variant], samples[cell, base], strict=True)
    return median(ours.cpu - theirs.cpu for ours, theirs in pairs)


def amortised_cpu(samples: Samples, cell: Cell, variant: str, base: str) -> tuple[float, float]:
    """Mean over the rounds, rare work included, and its standard error."""
    each = [ours.cpu - theirs.cpu for ours, theirs in zip(samples[cell, variant], samples[cell, base], strict=True)]
    return mean(each), stdev(each) / len(each) ** 0.5


def speed(samples: Samples, cell: Cell, variant: str, base: str) -> float:
    """Median over the rounds of the throughput as a share of the base's."""
    pairs = zip(samples[cell, variant], samples[cell, base], strict=True)
    return median(ours.per_second / theirs.per_second for ours, theirs in pairs)
