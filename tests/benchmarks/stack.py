"""What our middleware costs: the same tool on a bare FastMCP server and inside of the whole stack."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.requests import ERAS
from tests.benchmarks.result import Bars, Result, Table, Target
from tests.benchmarks.stack_measure import (
    MOST_CALLERS,
    Cell,
    Sample,
    Samples,
    Variant,
    added_cpu,
    amortised_cpu,
    in_turns,
    middle,
    serving,
    speed,
)
from tests.benchmarks.stack_server import UNAUDITED

ABOUT = """Four servers run beside each other, each in a process of its own, on loopback, with uvicorn, uvloop and
httptools, stateless, with one trivial asynchronous tool: **bare** is FastMCP as it comes, without sign-in; **stack**
adds what every server of the suite has (host, size and sign-in guards, API keys, identity, rate limit, policy,
metrics, deadline); **audited** writes two audit records a call as well (SQLite, group commit); **audited write** is a
tool that may change something, so a call begins only when its record is on the disk. Callers keep their connections
and send ready-made requests, each with a key of its own. The servers take turns in several rounds, and figures are
medians over the rounds (of differences and ratios within a round), so that a drift of the machine does not count. CPU
is user and system time of all threads of the server. Two processes of the same code differ by more than an audit
costs, so its cost is measured inside of one: the same tool under two names, one of which the audit passes by. That one
is a mean over the rounds, since a checkpoint of the database comes now and then."""

BARE, STACK, AUDITED, WRITE = "bare", "stack", "audited", "audited write"
VARIANTS = [
    Variant(BARE, "bare"),
    Variant(STACK, "stack"),
    Variant(AUDITED, "audited"),
    Variant(WRITE, "audited-write"),
]
CALLERS = (1, 8, MOST_CALLERS)
CELLS = [Cell(era, callers) for era in ERAS for callers in CALLERS]
AUDIT_ROUNDS, AUDIT_SECONDS = 40, 1.0
FLUSH_SECONDS = 0.35
"""Until the records of the turn before are on the disk."""
BUSY = [Cell(era, MOST_CALLERS) for era in ERAS]

TOOLS = (1, 20)
TOOL_VARIANTS = [
    Variant(f"{name}, {tools} tool{'s' * (tools > 1)}", name, tools) for name in (BARE, STACK) for tools in TOOLS
]
TOOL_CELL = Cell("modern", 8)


def run(run: Run) -> Result:
    """Measure both tables."""
    rounds, seconds = (2, 0.3) if run.quick else (28, 0.5)
    samples = _measure(run, "stack", VARIANTS, CELLS, rounds, seconds)
    audit = _measure_audit(run)
    by_tools = _measure(run, "tools", TOOL_VARIANTS, [TOOL_CELL], rounds, seconds)
    return Result(
        tables=[
            _table(samples, "CPU of the server, ms a call", lambda sample: f"{sample.cpu:.2f}"),
            _table(samples, "Calls a second", lambda sample: f"{sample.per_second:.0f}"),
            _table(samples, "Latency p50 / p99, ms", lambda sample: f"{sample.p50:.1f} / {sample.p99:.1f}"),
            _audit_table(audit),
            _tools_table(by_tools),
        ],
        targets=_targets(samples, audit),
        notes=[
            "A bare FastMCP server lists all of its tools before each modern call, to check `Mcp-Param-*` headers "
            "against their schemas. The suite tells the SDK the schemas at the start instead (`publish_schemas`).",
            "The bare server has Python's default garbage collection; the suite takes what was loaded at the start out "
            "of it (`common/garbage.py`), and has no tracing hooks where no collector is configured. So the stack may "
            "cost less than nothing.",
        ],
        plot=_plot(samples),
    )


def _measure(run: Run, label: str, variants: list[Variant], cells: list[Cell], rounds: int, seconds: float) -> Samples:
    with tempfile.TemporaryDirectory() as folder, serving(variants, Path(folder)) as servers:
        with run.progress(label, rounds * len(cells) * len(variants)) as progress:
            return in_turns(servers, cells, rounds, seconds, progress)


def _measure_audit(run: Run) -> Samples:
    rounds, seconds = (2, 0.3) if run.quick else (AUDIT_ROUNDS, AUDIT_SECONDS)
    [variant] = [variant for variant in VARIANTS if variant.name == AUDITED]
    with tempfile.TemporaryDirectory() as folder, serving([variant], Path(folder)) as servers:
        both = {UNAUDITED: replace(servers[AUDITED], tool=UNAUDITED), **servers}
        with run.progress("audit", rounds * len(BUSY) * len(both)) as progress:
            return in_turns(both, BUSY, rounds, seconds, progress, FLUSH_SECONDS)


def _table(samples: Samples, title: str, show: Callable[[Sample], str]) -> Table:
    rows = [
        [cell.era, str(cell.callers), *(show(middle(samples[cell, variant.name])) for variant in VARIANTS)]
        for cell in CELLS
    ]
    return Table(title=title, columns=["era", "callers", *(variant.name for variant in VARIANTS)], rows=rows)


def _audit_table(samples: Samples) -> Table:
    rows = []
    for cell in BUSY:
        added, error = amortised_cpu(samples, cell, AUDITED, UNAUDITED)
        without, audited = (f"{middle(samples[cell, name]).cpu:.2f}" for name in (UNAUDITED, AUDITED))
        rows.append([cell.era, without, audited, f"{added:.2f} \N{PLUS-MINUS SIGN} {error:.2f}"])
    title = f"The audit within one process, {MOST_CALLERS} callers: CPU, ms a call"
    return Table(title=title, columns=["era", "without", "with", "added, mean and its error"], rows=rows)


def _tools_table(samples: Samples) -> Table:
    found = {variant.name: middle(samples[TOOL_CELL, variant.name]) for variant in TOOL_VARIANTS}
    return Table(
        title=f"By the number of registered tools (modern, {TOOL_CELL.callers} callers)",
        columns=["server", "CPU, ms a call", "calls a second"],
        rows=[[name, f"{sample.cpu:.2f}", f"{sample.per_second:.0f}"] for name, sample in found.items()],
    )


def _targets(samples: Samples, audit: Samples) -> list[Target]:
    targets = []
    for era in ERAS:
        for callers in CALLERS:
            added = added_cpu(samples, Cell(era, callers), STACK, BARE)
            what = f"CPU of the stack over bare, {era}, {callers} caller{'s' * (callers > 1)}"
            targets.append(Target(what=what, measured=added, limit=0.6, unit="ms a call"))
    for cell in BUSY:
        at = f"{cell.era}, {cell.callers} callers"
        share = speed(samples, cell, STACK, BARE)
        targets.append(
            Target(what=f"throughput of the stack over bare, {at}", measured=share, limit=0.8, at_most=False)
        )
        added, _ = amortised_cpu(audit, cell, AUDITED, UNAUDITED)
        targets.append(Target(what=f"CPU of the audit, {at}", measured=added, limit=0.3, unit="ms a call"))
    return targets


def _plot(samples: Samples) -> Bars:
    series = {
        variant.name: [round(middle(samples[cell, variant.name]).cpu, 3) for cell in CELLS] for variant in VARIANTS
    }
    groups = [f"{cell.era}\n{cell.callers}" for cell in CELLS]
    return Bars(title="CPU a call, by era and callers", axis="ms", groups=groups, series=series)


BENCHMARK = Benchmark("stack", "The cost of the middleware", ABOUT, run)
