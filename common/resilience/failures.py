"""Failed sign-ins by client address: over the limit, nothing from there is looked at for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable

from common.resilience.rate_limit import LocalRateLimiter, RateLimiter

MOST = 10_000


class FailureLimit:
    """Every request asks, so what a limiter elsewhere said is believed for a moment; own failures count at once."""

    def __init__(
        self, limiter: RateLimiter, believe_seconds: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limiter = limiter
        self._believe = 0.0 if isinstance(limiter, LocalRateLimiter) else believe_seconds
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def wait(self, address: str) -> float:
        """Seconds until the next sign-in from there is looked at; 0 if it is now."""
        asked_at, wait = self._known.get(address, (0.0, 0.0))
        age = self._clock() - asked_at
        if address in self._known and age < self._believe:
            return max(0.0, wait - age)
        return await self._look(address)

    async def count(self, address: str) -> None:
        """Count one failure."""
        await self._limiter.acquire(address)
        await self._look(address)

    async def _look(self, address: str) -> float:
        wait = await self._limiter.look(address)
        if self._believe:
            self._known[address] = self._clock(), wait
            self._known.move_to_end(address)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        return wait
