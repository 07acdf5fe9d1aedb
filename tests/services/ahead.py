"""Starts what a run will need, all at once and ahead of the first test that asks for it."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

Start = Callable[[], Iterator[str]]
"""A generator that yields the URL of a server, and stops it when it is resumed."""


class Ahead:
    """Servers by name. Each is started once, and stopped by whoever asked for it, or else by `stop_others`."""

    def __init__(self) -> None:
        # Its threads live as long as the run: some servers end with the thread that started them.
        self._threads = ThreadPoolExecutor(8, "services")
        self._begun: dict[str, Future[tuple[str, Iterator[str]]]] = {}

    def begin(self, name: str, start: Start) -> None:
        """Start a server in the background."""
        if name not in self._begun:
            self._begun[name] = self._threads.submit(_started, start)

    def take(self, name: str, start: Start) -> tuple[str, Iterator[str]]:
        """URL and rest of the generator, once the server runs. Raises what its start raised."""
        begun = self._begun.pop(name, None)
        return begun.result() if begun else _started(start)

    def stop_others(self) -> None:
        """Stop what nobody took, because the tests that wanted it never ran."""
        for begun in self._begun.values():
            if begun.exception() is None:
                stop(begun.result()[1])
        self._begun.clear()


def _started(start: Start) -> tuple[str, Iterator[str]]:
    running = start()
    return next(running), running


def stop(running: Iterator[str]) -> None:
    """Resume the generator, which stops the server."""
    for _ in running:
        pass
