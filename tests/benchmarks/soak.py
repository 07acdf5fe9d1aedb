"""Ten minutes of calls on a real server: does its memory grow?"""

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from common.security.api_keys import ApiKeyStore
from infra.demo.servers import RunningServer, running, wait_ready
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.load import Load, drive
from tests.benchmarks.machine import resident_bytes_of
from tests.benchmarks.requests import ERAS, raw_request
from tests.benchmarks.result import Result, Table, Target

ABOUT = """The DevOps server on its simulated clusters, as `triptych serve devops` runs it: sign-in, limits, policy,
audit and metrics included. Callers of both eras list pods, workloads and nodes, look at a workload and read logs, each
with a pause between calls. The resident memory of the process is read every few seconds; the slope is that of the least
squares line after the warm-up, in which caches and pools fill."""
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
MEGABYTE = 1_048_576
SETTINGS = {
    "TRIPTYCH_RATE_LIMIT_PER_SECOND": "1000",
    "TRIPTYCH_RATE_LIMIT_BURST": "1000",
    "TRIPTYCH_LOG_LEVEL": "error",
}


def run(run: Run) -> Result:
    """Once."""
    seconds = QUICK_SECONDS if run.quick else MINUTES * 60
    with tempfile.TemporaryDirectory() as folder:
        load, samples = _soak(run, Path(folder), seconds)
    steady = [(at, used) for at, used in samples if at >= seconds * WARM_MINUTES / MINUTES]
    growth = slope(steady) * 600 / MEGABYTE
    rows = [
        ["calls", f"{load.calls:,}"],
        ["calls a second", f"{load.per_second:.0f}"],
        ["p50 / p99, ms", f"{load.milliseconds(0.5):.1f} / {load.milliseconds(0.99):.1f}"],
        ["memory after the warm-up, MB", f"{steady[0][1] / MEGABYTE:.1f}"],
        ["memory at the end, MB", f"{steady[-1][1] / MEGABYTE:.1f}"],
        ["most memory, MB", f"{max(used for _, used in samples) / MEGABYTE:.1f}"],
    ]
    return Result(
        tables=[Table(title=f"{seconds / 60:.0f} minutes", columns=["", "measured"], rows=rows)],
        targets=[Target(what="growth of memory in ten minutes, by the slope", measured=growth, limit=4.0, unit="MB")],
    )


def _soak(run: Run, folder: Path, seconds: float) -> tuple[Load, list[tuple[float, int]]]:
    os.environ |= SETTINGS
    keys = ApiKeyStore(folder / "api-keys.json")
    token = keys.create("soak", "local", ["user"], ["engineering"])[1]
    samples: list[tuple[float, int]] = []
    with running([("devops", 0)], folder) as [server]:
        wait_ready(server)
        port = int(server.url.rpartition(":")[2])
        requests = [raw_request(era, tool, arguments, port, token) for era in ERAS for tool, arguments in CALLS.items()]
        ended = threading.Event()
        with run.progress("soak", round(seconds)) as progress:
            watch = threading.Thread(target=_watch, args=(server, samples, ended, seconds / 120, progress))
            watch.start()
            try:
                load = drive(port, requests, seconds, PAUSE_SECONDS)
            finally:
                ended.set()
                watch.join()
    return load, samples


def _watch(
    server: RunningServer,
    samples: list[tuple[float, int]],
    ended: threading.Event,
    pause: float,
    progress: object,
) -> None:
    started = time.monotonic()
    while not ended.wait(pause):
        at = time.monotonic() - started
        samples.append((at, resident_bytes_of(server.process.pid)))
        progress(round(at))  # type: ignore[operator]


def slope(samples: Sequence[tuple[float, int]]) -> float:
    """Of the least squares line, a second."""
    middle_x = sum(x for x, _ in samples) / len(samples)
    middle_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - middle_x) ** 2 for x, _ in samples)
    return sum((x - middle_x) * (y - middle_y) for x, y in samples) / spread


BENCHMARK = Benchmark("soak", "Ten minutes under load", ABOUT, run)
