"""One limit over four processes: never more than it allows, and hardly less."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.result import Result, Table, Target, percentile
from tests.services import redis

ABOUT = """Four processes ask the limiter in Redis for one and the same caller, each with eight questions under way at
once, so that far more is asked for than is allowed. Allowed is the burst and the rate times the time from the first
question to the last answer. The clock is that of Redis; what counts is how many were let through altogether. For
comparison: what four processes let through that limit by themselves."""
PROCESSES, SECONDS, QUICK_SECONDS = 4, 10.0, 1.0
LIMITS = ((20.0, 40), (100.0, 50), (333.0, 100))


@dataclass(frozen=True)
class Outcome:
    """All processes together; times in seconds, `began` and `ended` by the machine's clock."""

    asked: int
    passed: int
    began: float
    ended: float
    latencies: list[float]


def run(run: Run) -> Result:
    """Each limit in turn, shared and not."""
    seconds = QUICK_SECONDS if run.quick else SECONDS
    rows, targets = [], []
    with _redis() as url, run.progress("limiter", len(LIMITS) * 2) as progress:
        for number, (rate, burst) in enumerate(LIMITS):
            shared = together(url, rate, burst, seconds)
            progress(number * 2 + 1)
            alone = together("", rate, burst, seconds)
            progress(number * 2 + 2)
            allowed = burst + rate * (shared.ended - shared.began)
            rows.append(
                [
                    f"{rate:g} a second, burst {burst}",
                    f"{shared.asked:,}",
                    f"{allowed:,.1f}",
                    f"{shared.passed:,}",
                    f"{alone.passed / (burst + rate * (alone.ended - alone.began)):.2f}",
                    f"{percentile(shared.latencies, 0.5) * 1000:.2f} / {percentile(shared.latencies, 0.99) * 1000:.2f}",
                ]
            )
            share = shared.passed / allowed
            targets.append(Target(what=f"let through of {rate:g} a second: never more", measured=share, limit=1.0))
            targets.append(
                Target(what=f"let through of {rate:g} a second: hardly less", measured=share, limit=0.99, at_most=False)
            )
    columns = ["limit", "asked", "allowed", "let through", "not shared, of the limit", "an answer, p50 / p99 ms"]
    return Result(tables=[Table(title="Four processes, one caller", columns=columns, rows=rows)], targets=targets)


@contextmanager
def _redis() -> Iterator[str]:
    running = redis.start()
    try:
        yield next(running)
    finally:
        for _ in running:
            pass


def together(url: str, rate: float, burst: int, seconds: float) -> Outcome:
    """What the processes found, begun together; without URL each limits by itself."""
    command = [sys.executable, "-m", "tests.benchmarks.limiter_process", url, str(rate), str(burst), str(seconds)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [json.loads(process.communicate(timeout=seconds + 60)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return Outcome(
        asked=sum(one["asked"] for one in found),
        passed=sum(one["passed"] for one in found),
        began=min(one["began"] for one in found),
        ended=max(one["ended"] for one in found),
        latencies=[each for one in found for each in one["latencies"]],
    )


BENCHMARK = Benchmark("limiter", "One limit over four processes", ABOUT, run)
