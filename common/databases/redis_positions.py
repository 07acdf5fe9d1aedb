"""Positions in Redis, for all processes."""

import hashlib
from collections.abc import Awaitable
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.databases.positions import KEPT_SECONDS, LocalPositions

OUTAGE = (RedisError, OSError, TimeoutError)
log = structlog.get_logger(__name__)
REMEMBER = """
local old = tonumber(redis.call('GET', KEYS[1]) or '0')
redis.call('SET', KEYS[1], string.format('%.0f', math.max(old, tonumber(ARGV[1]))), 'EX', ARGV[2])
"""


class RedisPositions:
    """See positions.Positions. While Redis is away it is not known who wrote: the primary answers."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._local = LocalPositions()
        self._remember = redis.register_script(REMEMBER)

    async def remember(self, caller: str, position: int) -> None:
        await self._local.remember(caller, position)
        try:
            await cast(Awaitable[object], self._remember(keys=[self._key(caller)], args=[position, KEPT_SECONDS]))
        except OUTAGE as error:
            log.warning("databases.position_local", error=type(error).__name__)

    async def of(self, caller: str) -> int | None:
        try:
            found = await self._redis.get(self._key(caller))
        except OUTAGE:
            return None
        return max(int(found or 0), await self._local.of(caller))

    def _key(self, caller: str) -> str:
        return f"{self._prefix}{hashlib.blake2b(caller.encode(), digest_size=16).hexdigest()}"
