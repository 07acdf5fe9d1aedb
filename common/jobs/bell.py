"""Rings for workers of any process when there is work. What it rang for can get lost: the table of jobs knows."""

from collections.abc import Awaitable, Callable
from typing import Protocol

Work = Callable[[], Awaitable[None]]


class Bell(Protocol):
    """The port: who adds jobs rings, who works listens."""

    async def ring(self, times: int = 1, key: str = "") -> bool:
        """Wake so many workers; false if nobody could be told. Ringing again with the same key does nothing."""

    async def listen(self, work: Work) -> None:
        """Call `work` for each ring, until cancelled. Outages are waited out."""

    async def close(self) -> None: ...


class NoBell:
    """Nothing to ring: workers look by themselves."""

    async def ring(self, times: int = 1, key: str = "") -> bool:
        """See Bell."""
        return False

    async def listen(self, work: Work) -> None:
        """See Bell."""

    async def close(self) -> None: ...
