"""What a benchmark is, and how it is run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.benchmarks.result import Result


@dataclass(frozen=True)
class Run:
    """How to run: `quick` to try a benchmark out, whose numbers then mean little."""

    quick: bool = False
    console: Console = field(default_factory=Console)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar; call the function with the number of steps done so far."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console) as progress:
            task = progress.add_task(label, total=total)
            yield lambda done: progress.update(task, completed=done)


@dataclass(frozen=True)
class Benchmark:
    """A measurement and what the report says about it."""

    name: str
    title: str
    about: str
    run: Callable[[Run], Result]
