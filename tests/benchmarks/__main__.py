"""`python -m tests.benchmarks [NAME...] [--quick]`."""

import argparse
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from tests.benchmarks.benchmark import Run
from tests.benchmarks.registry import BENCHMARKS
from tests.benchmarks.report import target_table, update
from tests.benchmarks.result import Result, Table


def show(console: Console, table: Table) -> None:
    """Print a table."""
    drawn = RichTable(title=table.title, title_justify="left", title_style="bold")
    for column in table.columns:
        drawn.add_column(column)
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    console.print(drawn)


def report(console: Console, result: Result) -> None:
    """Print what a benchmark found."""
    for table in [*result.tables, *([target_table(result.targets)] if result.targets else [])]:
        show(console, table)
    for note in result.notes:
        console.print(escape(note))
    console.print()


def missed(results: Mapping[str, Result]) -> list[str]:
    """The targets that were not met."""
    return [
        f"{name}: {target.what}: {target.found}, promised {target.promise}"
        for name, result in results.items()
        for target in result.targets
        if not target.met
    ]


def main() -> int:
    """Exit code 1 if a target was missed; a quick run promises and writes nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure; write docs/benchmarks.md")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="try it out: less of everything, and nothing is written")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    run = Run(given.quick, Console(width=None if sys.stdout.isatty() else 120))
    results: dict[str, Result] = {}
    for name in given.names or BENCHMARKS:
        run.console.rule(BENCHMARKS[name].title)
        results[name] = BENCHMARKS[name].run(run)
        report(run.console, results[name])
        if not run.quick:
            update({name: results[name]}, BENCHMARKS)
    for line in missed(results):
        run.console.print(f"[bold red]missed[/bold red] {escape(line)}", soft_wrap=True)
    return 1 if missed(results) and not run.quick else 0


if __name__ == "__main__":
    sys.exit(main())
