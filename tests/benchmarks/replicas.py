"""Calls a second and p99 by the number of workers, and where the curve bends."""

import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.requests import ERAS
from tests.benchmarks.result import Bars, Result, Table
from tests.benchmarks.stack_measure import MOST_CALLERS, Cell, Sample, Server, Variant, measure, serving

ABOUT = """The whole stack with one trivial tool, served by 1, 2 and 4 workers that share a port (`--workers`), each
with its own connections to one SQLite audit log; 32 callers on the same machine keep their connections and send
ready-made requests. **read** needs no durable record; **write** begins when its record is on the disk. The servers
take turns; figures are medians over the rounds. CPU is that of all workers together."""
WORKERS = (1, 2, 4)
BUILDS = {"read": "audited", "write": "audited-write"}


def run(run: Run) -> Result:
    """All servers beside each other, in turns."""
    rounds, seconds = (1, 0.5) if run.quick else (12, 1.5)
    samples: dict[tuple[str, int, Cell], list[Sample]] = {}
    cells = [Cell(era, MOST_CALLERS) for era in ERAS]
    variants = [Variant(f"{name} {count}", build, workers=count) for name, build in BUILDS.items() for count in WORKERS]
    done = 0
    with tempfile.TemporaryDirectory() as folder, serving(variants, Path(folder)) as servers:
        order: deque[tuple[str, Server]] = deque(servers.items())
        with run.progress("replicas", rounds * len(cells) * len(order)) as progress:
            for _ in range(rounds):
                order.rotate(-1)
                for cell in cells:
                    for label, server in order:
                        name, count = label.split()
                        samples.setdefault((name, int(count), cell), []).append(measure(server, cell, seconds))
                        progress(done := done + 1)
    return Result(tables=[_table(samples, name, cells) for name in BUILDS], plot=_plot(samples, cells), notes=NOTES)


NOTES = [
    "Where the calls a second stop growing while the CPU a call stays as it was, workers wait for each other or the "
    "store; where the CPU of the machine is used up, more workers cannot help."
]


def _middle(samples: Sequence[Sample], figure: str) -> float:
    return float(median(getattr(sample, figure) for sample in samples))


def _table(samples: dict[tuple[str, int, Cell], list[Sample]], name: str, cells: Sequence[Cell]) -> Table:
    rows = []
    for cell in cells:
        alone = _middle(samples[name, 1, cell], "per_second")
        for count in WORKERS:
            found = samples[name, count, cell]
            speed = _middle(found, "per_second")
            rows.append(
                [
                    cell.era,
                    str(count),
                    f"{speed:.0f}",
                    f"{speed / alone:.2f}",
                    f"{_middle(found, 'p50'):.1f} / {_middle(found, 'p99'):.1f}",
                    f"{_middle(found, 'cpu'):.2f}",
                ]
            )
    columns = ["era", "workers", "calls a second", "of one worker", "p50 / p99, ms", "CPU, ms a call"]
    return Table(title=f"{name.capitalize()}, 32 callers", columns=columns, rows=rows)


def _plot(samples: dict[tuple[str, int, Cell], list[Sample]], cells: Sequence[Cell]) -> Bars:
    series = {
        f"{name}, {cell.era}": [round(_middle(samples[name, count, cell], "per_second")) for count in WORKERS]
        for name in BUILDS
        for cell in cells
    }
    groups = [f"{count} worker{'s' * (count > 1)}" for count in WORKERS]
    return Bars(title="Calls a second, by workers", axis="calls a second", groups=groups, series=series)


BENCHMARK = Benchmark("replicas", "Workers behind one port", ABOUT, run)
