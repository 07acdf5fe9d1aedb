"""One rate limit over all replicas, decided atomically in Redis."""

from collections.abc import Awaitable
from typing import Literal, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.resilience.rate_limit import LocalRateLimiter

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
