"""How far a caller's own writes reach, so that its reads are not answered by a replica that has not seen them."""

import time
from collections import OrderedDict
from typing import Protocol

KEPT_SECONDS = 60
"""Longer than any replica that is read may lag."""
MOST = 10_000
UNREACHED = 2**62
"""Further than any replica is: of who wrote, but nobody knows how far. The primary answers them while it is kept."""


class Positions(Protocol):
    """Remembers one position for each caller."""

    async def remember(self, caller: str, position: int) -> None:
        """They wrote up to here."""

    async def of(self, caller: str) -> int | None:
        """How far they wrote lately; 0 if they did not, None if that is not known."""


class LocalPositions:
    """For one process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def remember(self, caller: str, position: int) -> None:
        self._kept[caller] = max(position, await self.of(caller)), time.monotonic() + KEPT_SECONDS
        self._kept.move_to_end(caller)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    async def of(self, caller: str) -> int:
        position, until = self._kept.get(caller, (0, 0.0))
        return position if time.monotonic() < until else 0
