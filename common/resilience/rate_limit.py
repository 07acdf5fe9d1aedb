"""GCRA rate limits (generic cell rate algorithm, ATM Forum TM 4.0), here in process; see redis_rate_limit.py."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol


class RateLimiter(Protocol):
    """Answers how long a key has to wait."""

    async def acquire(self, key: str) -> float:
        """0 if the call may go on (it is counted then), else the seconds to wait (not counted)."""

    async def look(self, key: str) -> float:
        """What `acquire` would answer; nothing is counted."""


class LocalRateLimiter:
    """Limits in this process. Idle keys are forgotten, so memory is bounded."""

    def __init__(
        self, rate: float, burst: int, max_keys: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._step = 1 / rate
        self._burst = burst
        self._max_keys = max_keys
        self._clock = clock
        self._arrival: OrderedDict[str, float] = OrderedDict()

    async def acquire(self, key: str) -> float:
        """See RateLimiter."""
        return self.check(key)

    async def look(self, key: str) -> float:
        """See RateLimiter."""
        return self.check(key, count=False)

    def check(self, key: str, count: bool = True) -> float:
        """Like `acquire`, at once; with `count=False` it only looks."""
        now = self._clock()
        arrival = max(self._arrival.get(key, now), now)
        wait = arrival + self._step - now - self._step * self._burst
        if wait > 1e-9:
            return wait
        if count:
            self._arrival[key] = arrival + self._step
            self._arrival.move_to_end(key)
            self._evict(now)
        return 0.0

    def left(self, key: str) -> float:
        """How many calls could begin at this moment."""
        now = self._clock()
        return max(0.0, self._burst - max(0.0, self._arrival.get(key, now) - now) / self._step)

    def _evict(self, now: float) -> None:
        while self._arrival:
            key, arrival = next(iter(self._arrival.items()))
            if arrival > now and len(self._arrival) <= self._max_keys:
                return
            del self._arrival[key]
