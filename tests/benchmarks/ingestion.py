"""How fast documents become searchable, beside what the embedder can do at best; and how much memory that takes."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.ingestion_measure import PORTION, Portion
from tests.benchmarks.result import Result, Table, Target

ABOUT = f"""1,250 Markdown files, each with another text of the Cranfield collection, taken in as `triptych ingest` does
by a process of its own: accepted in groups while the worker works, in portions of {PORTION}. After each portion the
embedder alone gets the texts of 50 of its documents: the same model, one text at a time from a thread for each core,
nothing else going on, so that both meet the same machine. Embedding keeps all cores busy, so that all else is taken
from its time. Other load moves both speeds, the share of processor time hardly."""
DOCUMENTS, QUICK_DOCUMENTS = 1_250, 100
SHARE = 85.0


def run(run: Run) -> Result:
    """One process, portion by portion."""
    count = QUICK_DOCUMENTS if run.quick else DOCUMENTS
    portions: list[Portion] = []
    with tempfile.TemporaryDirectory() as folder, run.progress("searchable", count) as progress:
        for portion in measured(Path(folder), count):
            portions.append(portion)
            progress(sum(each.documents for each in portions))
    return Result(tables=[_speed(portions), _memory(portions)], targets=_targets(portions))


def measured(folder: Path, count: int, environment: Mapping[str, str] | None = None) -> Iterator[Portion]:
    """Each portion once it is done."""
    environment = {**os.environ, **(environment or {})}
    command = [sys.executable, "-m", "tests.benchmarks.ingestion_measure", str(folder), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Portion(**json.loads(line))
    if process.returncode:
        raise RuntimeError(f"the measurement ended with {process.returncode}")


def _total(portions: Sequence[Portion], of: Callable[[Portion], float]) -> float:
    return sum(of(portion) for portion in portions)


def rates(portions: Sequence[Portion]) -> tuple[float, float, float, float]:
    """Documents a second of both, and milliseconds of processor time a document of both."""
    documents = _total(portions, lambda portion: portion.documents)
    alone = _total(portions, lambda portion: portion.alone_documents)
    return (
        documents / _total(portions, lambda portion: portion.seconds),
        alone / _total(portions, lambda portion: portion.alone_seconds),
        1000 * _total(portions, lambda portion: portion.cpu_seconds) / documents,
        1000 * _total(portions, lambda portion: portion.alone_cpu_seconds) / alone,
    )


def _speed(portions: Sequence[Portion]) -> Table:
    speed, best, cpu, least_cpu = rates(portions)
    accepting = _total(portions, lambda portion: portion.accepting_seconds)
    documents = _total(portions, lambda portion: portion.documents)
    return Table(
        title="Ingestion",
        columns=["", "ingestion", "the embedder alone", "share"],
        rows=[
            ["documents/s", f"{speed:.1f}", f"{best:.1f}", f"{speed / best:.0%}"],
            ["processor time a document, ms", f"{cpu:.1f}", f"{least_cpu:.1f}", f"{least_cpu / cpu:.0%}"],
            ["accepted, ms a document", f"{1000 * accepting / documents:.1f}", "", ""],
        ],
    )


def _memory(portions: Sequence[Portion]) -> Table:
    done = [sum(each.documents for each in portions[: place + 1]) for place in range(len(portions))]
    rows = [[f"{count:,}", f"{portion.memory_mib:.0f}"] for count, portion in zip(done, portions, strict=True)]
    return Table(title="Memory of the process", columns=["documents taken in", "MiB"], rows=rows)


def _targets(portions: Sequence[Portion]) -> list[Target]:
    speed, best, cpu, least_cpu = rates(portions)
    growth = portions[-1].memory_mib - portions[len(portions) // 4].memory_mib
    share, cpu_share = 100 * speed / best, 100 * least_cpu / cpu
    return [
        Target(what="share of the embedder's own speed", measured=share, limit=SHARE, unit="%", at_most=False),
        Target(
            what="share of processor time that is embedding", measured=cpu_share, limit=SHARE, unit="%", at_most=False
        ),
        Target(what="growth of memory over the last three quarters", measured=growth, limit=150.0, unit="MiB"),
    ]


BENCHMARK = Benchmark("ingestion", "Ingestion", ABOUT, run)
