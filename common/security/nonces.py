"""Names of messages that were seen, so that each counts once: in Redis for all processes, or in this process."""

import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from redis.asyncio import Redis

MOST = 100_000
"""Names that a process remembers; beyond that the oldest go."""
log = structlog.get_logger(__name__)


class Nonces(Protocol):
    """Remembers names for a while."""

    async def is_first(self, name: str, seconds: float) -> bool:
        """Whether the name was not given before; it is remembered now."""

    async def close(self) -> None: ...


class LocalNonces:
    """For one process."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    async def is_first(self, name: str, seconds: float) -> bool:
        """See Nonces."""
        now = time.monotonic()
        while self._until and (len(self._until) >= MOST or next(iter(self._until.values())) < now):
            self._until.popitem(last=False)
        if name in self._until:
            return False
        self._until[name] = now + seconds
        return True

    async def close(self) -> None:
        """See Nonces."""


class RedisNonces:
    """For all processes. While Redis is away each process remembers for itself."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._local = LocalNonces()

    async def is_first(self, name: str, seconds: float) -> bool:
        """See Nonces."""
        from redis.exceptions import RedisError

        key = f"{self._prefix}{hashlib.sha256(name.encode()).hexdigest()}"
        try:
            return bool(await self._redis.set(key, b"1", nx=True, ex=int(seconds)))
        except (RedisError, OSError) as error:
            log.warning("webhook.nonces_local", error=type(error).__name__)
            return await self._local.is_first(name, seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
