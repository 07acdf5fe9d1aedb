"""What the audit log alone costs, and how fast it is verified."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_engine, sqlite_url
from common.security.audit import AuditLog, AuditRecord, verify
from common.security.signing import SigningKey
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.result import Bars, Result, Table, percentile

ABOUT = """The audit log alone, without a server: SQLite in WAL mode with full synchronisation, a hash chain,
redaction, group commit, checkpoints. **append** is what a reading call does: it does not wait, and its record is on
the disk within 0.2 s. **write** is what a changing call does, from 32 callers at once: each returns when its record
is on the disk. **verify** reads all records back, computes every hash and checks the signed checkpoints. CPU is that
of the whole process."""

KEY = SigningKey(b"k" * 32)
WRITERS = 32
MOST_WAITING = 5_000


@dataclass
class Timing:
    """How long a number of records took."""

    records: int
    seconds: float = 0.0
    cpu: float = 0.0
    waits: list[float] = field(default_factory=list)

    def row(self, name: str) -> list[str]:
        waits = [f"{percentile(self.waits, share) * 1000:.1f}" if self.waits else "" for share in (0.5, 0.99)]
        return [name, str(self.records), f"{self.per_second:.0f}", f"{self.cpu / self.records * 1e6:.0f}", *waits]

    @property
    def per_second(self) -> float:
        return self.records / self.seconds

    def __enter__(self) -> "Timing":
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started[0]
        self.cpu = time.process_time() - self._started[1]


def record(number: int) -> AuditRecord:
    """A record as a tool call leaves it."""
    detail = {"arguments": {"query": f"how long is the warranty of model {number}?", "limit": 10, "mode": "hybrid"}}
    return AuditRecord("intent", "search", f"request-{number:08d}", "ben@fernhill.example", "fernhill", detail=detail)


def run(run: Run) -> Result:
    """Append, write, verify."""
    with tempfile.TemporaryDirectory() as folder:
        timings = asyncio.run(_measure(run, Path(folder)))
    columns = ["what", "records", "records/s", "CPU, us a record", "wait p50, ms", "p99, ms"]
    table = Table(title="Audit log", columns=columns, rows=[timing.row(name) for name, timing in timings.items()])
    speeds = [round(timing.per_second) for timing in timings.values()]
    plot = Bars(title="Audit log", axis="records/s", groups=list(timings), series={"records/s": speeds})
    return Result(tables=[table], plot=plot)


async def _measure(run: Run, folder: Path) -> dict[str, Timing]:
    few, many = (640, 2_000) if run.quick else (16_000, 50_000)
    async with _engine(folder / "append.db") as engine, _engine(folder / "write.db") as other:
        with run.progress("append", many) as progress:
            appended = await _append(engine, folder / "append.jsonl", many, progress)
        with run.progress(f"write, {WRITERS} callers", few) as progress:
            written = await _write(other, folder / "write.jsonl", few, progress)
        with run.progress("verify", many) as progress:
            verified = await _verify(engine, folder / "append.jsonl", many, progress)
    return {"append": appended, f"write, {WRITERS} callers": written, "verify": verified}


@asynccontextmanager
async def _engine(path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(sqlite_url(path))
    yield engine
    await engine.dispose()


async def _append(engine: AsyncEngine, checkpoints: Path, count: int, progress: Callable[[int], None]) -> Timing:
    async with AuditLog(engine, "benchmark", KEY, checkpoints, 5.0) as log:
        with Timing(count) as timing:
            for number in range(count):
                log.append(record(number))
                if log.backlog >= MOST_WAITING:
                    await _drained(log)
                    progress(number)
            await _drained(log)
            progress(count)
    return timing


async def _drained(log: AuditLog) -> None:
    while log.backlog:
        await asyncio.sleep(0.001)


async def _write(engine: AsyncEngine, checkpoints: Path, count: int, progress: Callable[[int], None]) -> Timing:
    async with AuditLog(engine, "benchmark", KEY, checkpoints, 5.0) as log:
        with Timing(count) as timing:

            async def caller(first: int) -> None:
                for number in range(first, count, WRITERS):
                    started = time.perf_counter()
                    await log.write(record(number))
                    timing.waits.append(time.perf_counter() - started)
                    progress(len(timing.waits))

            await asyncio.gather(*map(caller, range(WRITERS)))
    return timing


async def _verify(engine: AsyncEngine, checkpoints: Path, count: int, progress: Callable[[int], None]) -> Timing:
    with Timing(count) as timing:
        report = await verify(engine, KEY, checkpoints, progress=lambda done, _: progress(done))
    if not report.ok or report.records != count:
        raise RuntimeError(f"the log that was just written is not in order: {report}")
    return timing


BENCHMARK = Benchmark("audit", "The audit log", ABOUT, run)
