"""A clock that never runs backwards, whatever is done to the machine's."""

import time
from collections.abc import Callable
from datetime import UTC, datetime


class SteadyClock:
    """Seconds since 1970. A step back of the machine's clock prolongs nothing."""

    def __init__(self, wall: Callable[[], float] | None = None) -> None:
        self._wall = wall or (lambda: time.time())
        self._offset = self._wall() - time.monotonic()

    def now(self) -> float:
        """The time."""
        self._offset = max(self._offset, self._wall() - time.monotonic())
        return self._offset + time.monotonic()

    def at_least(self, moment: float) -> None:
        """Another process has seen this moment already."""
        self._offset = max(self._offset, moment - time.monotonic())


def planned_at() -> str:
    """Now, as operations carry it that leave no other trace."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
