"""One rate limit over all replicas, decided atomically in Redis."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.resilience.rate_limit import LocalRateLimiter

Outage = Literal["open", "closed", "local"]
AWAY_SECONDS = 1.0
"""For so long nobody waits for a Redis that did not answer; then one call tries again."""
log = structlog.get_logger(__name__)

# Redis's own clock is used, so that replicas with different clocks agree. Lua's `tostring` keeps 14 digits, which is a
# tenth of a millisecond by now: the error of each call would add up to a limit that is another one.
GCRA = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1e6
local step = 1 / tonumber(ARGV[1])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait = tat + step - now - step * tonumber(ARGV[2])
if wait > 1e-9 then return tostring(wait) end
if ARGV[3] == '1' then
  redis.call('SET', KEYS[1], string.format('%.17g', tat + step), 'PX', math.ceil((tat + step - now) * 1000) + 1)
end
return '0'
"""


class RedisRateLimiter:
    """One limit over all replicas, decided atomically in Redis; `outage` says what happens while it is down."""

    def __init__(
        self,
        redis: Redis,
        rate: float,
        burst: int,
        outage: Outage,
        prefix: str = "triptych:rate:",
        clock: Callable[[], float] = time.monotonic,
        on_outage: Callable[[], None] = lambda: None,
    ) -> None:
        self._script = redis.register_script(GCRA)
        self._limit = [rate, burst]
        self._outage = outage
        self._prefix = prefix
        self._local = LocalRateLimiter(rate, burst)
        self._clock = clock
        self._on_outage = on_outage
        self._away_until: float | None = None

    async def acquire(self, key: str) -> float:
        """See RateLimiter."""
        return await self._ask(key, True)

    async def look(self, key: str) -> float:
        """See RateLimiter."""
        return await self._ask(key, False)

    async def _ask(self, key: str, count: bool) -> float:
        if self._away_until is not None:
            if self._clock() < self._away_until:
                return self._without_redis(key, count)
            # This call tries; the others go on without until it knows.
            self._away_until = self._clock() + AWAY_SECONDS
        try:
            arguments = [*self._limit, int(count)]
            call = cast(Awaitable[bytes], self._script(keys=[self._prefix + key], args=arguments))
            wait = float(await call)
        except (RedisError, OSError, TimeoutError) as error:
            self._went_away(error)
            return self._without_redis(key, count)
        if self._away_until is not None:
            self._away_until = None
            log.info("rate_limit.redis_is_back")
        return wait

    def _went_away(self, error: Any) -> None:
        if self._away_until is None:
            log.warning("rate_limit.redis_unavailable", error=type(error).__name__, mode=self._outage)
        self._away_until = self._clock() + AWAY_SECONDS

    def _without_redis(self, key: str, count: bool) -> float:
        self._on_outage()
        if self._outage == "local":
            return self._local.check(key, count)
        return 0.0 if self._outage == "open" else AWAY_SECONDS
