"""What the gateway costs a call, beside the domain's own port and FastMCP's proxy; and what it holds apart."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.gateway_affinity import REPLICAS, hit_rate
from tests.benchmarks.gateway_isolation import ILLNESSES, isolation
from tests.benchmarks.gateway_measure import DIRECT, GATEWAY, PROXY, in_turns, over, ways
from tests.benchmarks.requests import ERAS
from tests.benchmarks.result import Bars, Result, Table, Target
from tests.benchmarks.stack_measure import MOST_CALLERS, Cell, Sample, Samples, added_cpu, middle

ABOUT = """One domain server with the suite's whole stack, and in front of it the gateway (`triptych serve gateway`) and
FastMCP's own `create_proxy`, each in a process of its own on loopback. Callers keep their connections and send
ready-made requests, each with a key of its own. **direct** goes to the domain's port. CPU is that of the domain and
of what stands in front together, so that work which the gateway takes off the domain counts, too. The ways take turns
in several rounds; figures are medians over the rounds (of differences and ratios within a round). A domain that is ill
is asked by two callers all the time, while two others call one that is well; rounds with and without it take turns.
The hit rate is that of the suite's own memory cache in four replicas behind the gateway's ring, and behind round
robin."""

CALLERS = (1, 8, MOST_CALLERS)
CELLS = [Cell(era, callers) for era in ERAS for callers in CALLERS]


def run(run: Run) -> Result:
    """Measure all tables."""
    rounds, slow_rounds, seconds = (2, 1, 0.3) if run.quick else (15, 3, 0.5)
    with tempfile.TemporaryDirectory() as folder, ways(Path(folder)) as found:
        fast = {name: found[name] for name in (DIRECT, GATEWAY)}
        with run.progress("gateway", rounds * len(CELLS) * len(fast)) as progress:
            samples = dict(in_turns(fast, CELLS, rounds, seconds, progress))
        with run.progress("proxy", slow_rounds * len(CELLS)) as progress:
            samples |= in_turns({PROXY: found[PROXY]}, CELLS, slow_rounds, seconds, progress)
    rounds, seconds = (1, 0.5) if run.quick else (9, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        with run.progress("isolation", rounds * len(ILLNESSES)) as progress:
            apart = isolation(Path(folder), rounds, seconds, progress)
    count = 20_000 if run.quick else 200_000
    rates = {name: hit_rate(count, ring) for name, ring in (("ring", True), ("round robin", False))}
    return Result(
        tables=[
            _table(samples, "CPU of all processes, ms a call", lambda sample: f"{sample.cpu:.2f}"),
            _table(samples, "Calls a second", lambda sample: f"{sample.per_second:.0f}"),
            _table(samples, "Latency p50 / p99, ms", lambda sample: f"{sample.p50:.1f} / {sample.p99:.1f}"),
            _isolation_table(apart),
            _affinity_table(rates),
        ],
        targets=[*_targets(samples), *_isolation_targets(apart)],
        notes=[
            "For clients of 2025-11-25 the gateway speaks 2026-07-28 to the domain, which opens no session for "
            "each request then: work that the domain saves.",
        ],
        plot=_plot(samples),
    )


def _table(samples: Samples, title: str, show: Callable[[Sample], str]) -> Table:
    names = (DIRECT, GATEWAY, PROXY)
    rows = [[cell.era, str(cell.callers), *(show(middle(samples[cell, name])) for name in names)] for cell in CELLS]
    return Table(title=title, columns=["era", "callers", *names], rows=rows)


def _isolation_table(apart: dict[str, tuple[int, float, float, float]]) -> Table:
    rows = [
        [illness, str(calls), "0", f"{alone:.1f}", f"{beside:.1f}", f"{ratio:.2f}"]
        for illness, (calls, alone, beside, ratio) in apart.items()
    ]
    columns = ["the other domain is", "calls", "failed", "p50 without, ms", "p50 with, ms", "ratio"]
    return Table(title="Calls of a domain that is well beside one that is ill", columns=columns, rows=rows)


def _affinity_table(rates: dict[str, tuple[float, float]]) -> Table:
    rows = [[name, f"{rate:.1%}", f"{share:.2f}"] for name, (rate, share) in rates.items()]
    title = f"Hit rate of the memory of {len(REPLICAS)} replicas"
    return Table(title=title, columns=["replica by", "hits", "busiest replica, times its fair share"], rows=rows)


def _targets(samples: Samples) -> list[Target]:
    targets = []
    for cell in CELLS:
        at = f"{cell.era}, {cell.callers} caller{'s' * (cell.callers > 1)}"
        added = added_cpu(samples, cell, GATEWAY, DIRECT)
        targets.append(Target(what=f"CPU that the gateway adds, {at}", measured=added, limit=1.0, unit="ms a call"))
        late = over(samples, cell, GATEWAY, "p99")
        targets.append(Target(what=f"p99 through the gateway over direct, {at}", measured=late, limit=2.0))
        if cell.callers == MOST_CALLERS:
            share = over(samples, cell, GATEWAY, "per_second")
            what = f"throughput through the gateway over direct, {at}"
            targets.append(Target(what=what, measured=share, limit=0.6, at_most=False))
    return targets


def _isolation_targets(apart: dict[str, tuple[int, float, float, float]]) -> list[Target]:
    return [
        Target(what=f"p50 of the other domain while one is {illness}, over without", measured=found[3], limit=1.1)
        for illness, found in apart.items()
    ]


def _plot(samples: Samples) -> Bars:
    names = (DIRECT, GATEWAY, PROXY)
    series = {name: [round(middle(samples[cell, name]).cpu, 3) for cell in CELLS] for name in names}
    groups = [f"{cell.era}\n{cell.callers}" for cell in CELLS]
    return Bars(title="CPU a call, by era and callers", axis="ms", groups=groups, series=series)


BENCHMARK = Benchmark("gateway", "The gateway", ABOUT, run)
