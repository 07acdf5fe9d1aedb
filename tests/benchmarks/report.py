"""Keeps results between runs, and writes docs/benchmarks.md from them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.result import Result, Table, Target

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results.json"
DOCS = ROOT / "docs"
_RESULTS = TypeAdapter(dict[str, Result])
_HEAD = """# Benchmarks

`make bench` measures what is here and writes this page; `.venv/bin/python -m tests.benchmarks NAME` renews one section.
Everything runs on one machine, callers and servers together: compare figures within a section, not with other machines.
"""


def load_results(path: Path = RESULTS) -> dict[str, Result]:
    """What earlier runs found."""
    return _RESULTS.validate_json(path.read_bytes()) if path.exists() else {}


def save_results(results: Mapping[str, Result], path: Path = RESULTS) -> None:
    """Keep them for the next run."""
    path.write_bytes(_RESULTS.dump_json(dict(results), indent=1) + b"\n")


def update(
    fresh: Mapping[str, Result], known: Mapping[str, Benchmark], results: Path = RESULTS, docs: Path = DOCS
) -> None:
    """Replace the sections that were measured; the others stay as they are."""
    from tests.benchmarks.plots import draw

    stored = {name: result for name, result in load_results(results).items() if name in known}
    kept = {name: (stored | dict(fresh))[name] for name in known if name in stored or name in fresh}
    save_results(kept, results)
    for name, result in fresh.items():
        if result.plot:
            draw(result.plot, docs / image_of(name))
    (docs / "benchmarks.md").write_text(page(kept, known))


def image_of(name: str) -> str:
    """Where the plot of a benchmark is, from docs/."""
    return f"images/bench-{name}.svg"


def page(results: Mapping[str, Result], known: Mapping[str, Benchmark]) -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(known[name], result) for name, result in results.items())])


def _section(benchmark: Benchmark, result: Result) -> str:
    parts = [f"## {benchmark.title}", benchmark.about]
    if result.plot:
        parts.append(f"![{result.plot.title}]({image_of(benchmark.name)})")
    parts += ["\n".join(_table(table)) for table in result.tables]
    if result.targets:
        parts.append("\n".join(_table(target_table(result.targets))))
    parts += result.notes
    parts.append(f"Measured {result.measured} by `python -m tests.benchmarks {benchmark.name}`: {result.machine}.")
    return "\n\n".join(parts) + "\n"


def target_table(targets: list[Target]) -> Table:
    """What was promised and what was found."""
    rows = [[target.what, target.promise, target.found, "met" if target.met else "**missed**"] for target in targets]
    return Table(title="Targets", columns=["target", "promised", "measured", ""], rows=rows)


def _table(table: Table) -> Iterator[str]:
    yield f"{table.title}:\n"
    yield f"| {' | '.join(table.columns)} |"
    yield f"|{'---|' * len(table.columns)}"
    for row in table.rows:
        yield f"| {' | '.join(row)} |"
