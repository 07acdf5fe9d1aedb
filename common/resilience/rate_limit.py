"""GCRA rate limits (generic cell rate algorithm, ATM Forum TM 4.0): in process, and in Redis for many replicas."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

Outage = Literal["open", "closed", "local"]
log = structlog.get_logger(__name__)

# Redis's own clock is used, so that replicas with different clocks agree.
GCRA = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1e6
local step = 1 / tonumber(ARGV[1])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait = tat + step - now - step * tonumber(ARGV[2])
if wait > 1e-9 then return tostring(wait) end
redis.call('SET', KEYS[1], tostring(tat + step), 'PX', math.ceil((tat + step - now) * 1000) + 1)
return '0'
"""


class RateLimiter(Protocol):
    """Answers how long a key has to wait."""

    async def acquire(self, key: str) -> float:
        """0 if the call may go on (it is counted then), else the seconds to wait (not counted)."""


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


class RedisRateLimiter:
    """One limit over all replicas, decided atomically in Redis; `outage` says what happens while it is down."""

    def __init__(self, redis: Redis, rate: float, burst: int, outage: Outage, prefix: str = "triptych:rate:") -> None:
        self._script = redis.register_script(GCRA)
        self._arguments = [rate, burst]
        self._outage = outage
        self._prefix = prefix
        self._local = LocalRateLimiter(rate, burst)

    async def acquire(self, key: str) -> float:
        """See RateLimiter."""
        try:
            call = cast(Awaitable[bytes], self._script(keys=[self._prefix + key], args=self._arguments))
            return float(await call)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("rate_limit.redis_unavailable", error=type(error).__name__, mode=self._outage)
            return await self._without_redis(key)

    async def _without_redis(self, key: str) -> float:
        if self._outage == "local":
            return await self._local.acquire(key)
        return 0.0 if self._outage == "open" else 1.0
