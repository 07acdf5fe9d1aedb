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

    def _evict(self, now: float) -> None:
        while self._arrival:
            key, arrival = next(iter(self._arrival.items()))
            if arrival > now and len(self._arrival) <= self._max_keys:
                return
            del self._arrival[key]


class Pace:
    """The same rule for one thing alone, as cheap as can be."""

    __slots__ = ("_arrival", "_clock", "_room", "_step")

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._step = 1 / rate
        self._room = self._step * burst
        self._clock = clock
        self._arrival = 0.0

    def check(self) -> float:
        """0 if a call may go on (it is counted then), else the seconds to wait (not counted)."""
        now = self._clock()
        arrival = (self._arrival if self._arrival > now else now) + self._step
        wait = arrival - now - self._room
        if wait > 1e-9:
            return wait
        self._arrival = arrival
        return 0.0

    def left(self) -> float:
        """How many calls could begin at this moment."""
        return max(0.0, (self._room - max(0.0, self._arrival - self._clock())) / self._step)
