"""A clock that never runs backwards, whatever is done to the machine's."""

import time
from collections.abc import Callable


class SteadyClock:
    """Seconds since 1970. A step back of the machine's clock prolongs nothing."""

    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._offset = wall() - elapsed()

    def now(self) -> float:
        """The time."""
        self._offset = max(self._offset, self._wall() - self._elapsed())
        return self._offset + self._elapsed()

    def at_least(self, moment: float) -> None:
        """Another process has seen this moment already."""
        self._offset = max(self._offset, moment - self._elapsed())
