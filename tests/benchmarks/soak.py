"""Ten minutes of calls and of followers on a real server and the gateway before it: does their memory grow?"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.security.api_keys import ApiKeyStore
from infra.demo.servers import RunningServer, running, wait_ready
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.load import Load, drive
from tests.benchmarks.machine import resident_bytes_of
from tests.benchmarks.requests import ERAS, raw_request
from tests.benchmarks.result import Result, Table, Target

FOLLOWERS = 52
ABOUT = f"""The DevOps server on its simulated clusters, and the gateway in front of it, as `triptych serve` runs them:
sign-in, limits, policy, audit and metrics included. Callers of both eras list pods, workloads and nodes, look at a
workload and read logs, each with a pause between calls; half of them ask the server, half the gateway. Beside them
{FOLLOWERS} clients of both eras follow the logs of a workload, again and again, half of them through the gateway. The
resident memory of each process is read every few seconds; the slope is that of the least squares line after the
warm-up, in which caches and pools fill."""
MINUTES, WARM_MINUTES = 10.0, 2.0
QUICK_SECONDS = 6.0
PAUSE_SECONDS = 0.1
CALLS: dict[str, dict[str, object]] = {
    "list_pods": {"namespace": "production"},
    "list_workloads": {},
    "list_nodes": {},
    "get_workload": {"namespace": "production", "name": "web-portal"},
    "get_logs": {"namespace": "production", "workload": "web-portal", "tail": 20},
}
FOLLOWED: dict[str, object] = {"namespace": "production", "workload": "web-portal", "tail": 20}
FOLLOW_SECONDS = 20
MEGABYTE = 1_048_576
SETTINGS = {
    "TRIPTYCH_RATE_LIMIT_PER_SECOND": "1000",
    "TRIPTYCH_RATE_LIMIT_BURST": "1000",
    "TRIPTYCH_LOG_LEVEL": "error",
}


@dataclass
class Memory:
    """Of a process: seconds since the start of the load, and bytes."""

    server: RunningServer
    samples: list[tuple[float, int]] = field(default_factory=list)

    def after(self, seconds: float) -> list[tuple[float, int]]:
        """Without the warm-up."""
        return [(at, used) for at, used in self.samples if at >= seconds]


def run(run: Run) -> Result:
    """Once."""
    seconds = QUICK_SECONDS if run.quick else MINUTES * 60
    with tempfile.TemporaryDirectory() as folder, _servers(Path(folder)) as (servers, token):
        loads, memories = _soak(run, servers, token, seconds)
    warm = seconds * WARM_MINUTES / MINUTES
    names = [memory.server.name for memory in memories]
    table = Table(
        title=f"{seconds / 60:.0f} minutes",
        columns=["", *names],
        rows=[
            ["memory after the warm-up, MB", *(f"{each.after(warm)[0][1] / MEGABYTE:.1f}" for each in memories)],
            ["memory at the end, MB", *(f"{each.samples[-1][1] / MEGABYTE:.1f}" for each in memories)],
            ["most memory, MB", *(f"{max(used for _, used in each.samples) / MEGABYTE:.1f}" for each in memories)],
        ],
    )
    return Result(
        tables=[table, _calls(loads)],
        targets=[
            Target(
                what=f"growth of the memory of {each.server.name} in ten minutes, by the slope",
                measured=slope(each.after(warm)) * 600 / MEGABYTE,
                limit=4.0,
                unit="MB",
            )
            for each in memories
        ],
    )


def _calls(loads: Mapping[str, Load]) -> Table:
    rows = [
        [
            name,
            f"{load.calls:,}",
            f"{load.per_second:.1f}",
            f"{load.milliseconds(0.5):.1f} / {load.milliseconds(0.99):.1f}",
        ]
        for name, load in loads.items()
    ]
    return Table(title="What was asked", columns=["", "calls", "a second", "p50 / p99, ms"], rows=rows)


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[list[RunningServer], str]]:
    """The server and the gateway, and a key for both."""
    os.environ |= SETTINGS
    token = ApiKeyStore(folder / "api-keys.json").create("soak", "local", ["user"], ["engineering"])[1]
    with ExitStack() as stack:
        [server] = stack.enter_context(running([("devops", 0)], folder))
        wait_ready(server)
        os.environ["GATEWAY_DOMAINS"] = json.dumps({"devops": [f"{server.url}/mcp"]})
        stack.callback(os.environ.pop, "GATEWAY_DOMAINS")
        [gateway] = stack.enter_context(running([("gateway", 0)], folder))
        wait_ready(gateway)
        yield [server, gateway], token


def _soak(
    run: Run, servers: Sequence[RunningServer], token: str, seconds: float
) -> tuple[dict[str, Load], list[Memory]]:
    memories, ended = [Memory(server) for server in servers], threading.Event()
    asked = dict(_asked(servers, token, min(FOLLOW_SECONDS, round(seconds / 3))))
    with run.progress("soak", round(seconds)) as progress, ThreadPoolExecutor(len(asked) + 1) as threads:
        watching = threads.submit(_watch, memories, ended, seconds / 120, progress)
        try:
            driven = {
                name: threads.submit(drive, port, requests, seconds, PAUSE_SECONDS)
                for name, (port, requests) in asked.items()
            }
            loads = {name: each.result() for name, each in driven.items()}
        finally:
            ended.set()
        watching.result()
    return loads, memories


def _asked(
    servers: Sequence[RunningServer], token: str, follow_seconds: int
) -> Iterator[tuple[str, tuple[int, list[bytes]]]]:
    """Who asks -> port, and a request for each of them."""
    for server, prefix in zip(servers, ("", "devops_"), strict=True):
        port = int(server.url.rpartition(":")[2])
        calls = [raw_request(era, f"{prefix}{tool}", CALLS[tool], port, token) for era in ERAS for tool in CALLS]
        yield f"callers of {server.name}", (port, calls)
        question = {**FOLLOWED, "seconds": follow_seconds}
        follow = [raw_request(era, f"{prefix}follow_logs", question, port, token, progress=True) for era in ERAS]
        yield f"followers through {server.name}", (port, follow * (FOLLOWERS // 4))


def _watch(memories: Sequence[Memory], ended: threading.Event, pause: float, progress: object) -> None:
    started = time.monotonic()
    while not ended.wait(pause):
        at = time.monotonic() - started
        for memory in memories:
            memory.samples.append((at, resident_bytes_of(memory.server.process.pid)))
        progress(round(at))  # type: ignore[operator]


def slope(samples: Sequence[tuple[float, int]]) -> float:
    """Of the least squares line, a second."""
    middle_x = sum(x for x, _ in samples) / len(samples)
    middle_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - middle_x) ** 2 for x, _ in samples)
    return sum((x - middle_x) * (y - middle_y) for x, y in samples) / spread


BENCHMARK = Benchmark("soak", "Ten minutes under load", ABOUT, run)
