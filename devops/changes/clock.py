"""A clock that never runs backwards, whatever is done to the machine's."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

TRUSTED_SECONDS = 60.0
"""How far the clock of another process may be ahead of this machine's to be followed."""
REMEDY = "One clock is wrong: set all machines' by NTP, then restart the server or worker that had the wrong one."
log = structlog.get_logger(__name__)


class SteadyClock:
    """Seconds since 1970. A step back of the machine's clock prolongs nothing."""

    def __init__(self, wall: Callable[[], float] | None = None) -> None:
        self._wall = wall or (lambda: time.time())
        self._offset = self._wall() - time.monotonic()
        self._refused = 0.0

    def now(self) -> float:
        """The time."""
        self._offset = max(self._offset, self._wall() - time.monotonic())
        return self._offset + time.monotonic()

    def wall(self) -> float:
        """What the machine's clock says, which may be set back: to be compared with what was taken from it, too."""
        return self._wall()

    def at_least(self, moment: float) -> None:
        """Another process has seen this moment already; of one far in the future its clock was wrong."""
        ahead = moment - self._wall()
        if moment <= self.now():
            return
        if ahead <= TRUSTED_SECONDS:
            self._offset = max(self._offset, moment - time.monotonic())
        elif moment > self._refused:
            self._refused = moment
            log.warning("changes.clocks_differ", seconds=round(ahead), remedy=REMEDY)


def planned_at() -> str:
    """Now, as operations carry it that leave no other trace."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
