"""Names that were seen: in Redis for all processes, or in this process."""

import hashlib
import time
from collections import OrderedDict

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

MOST = 100_000
log = structlog.get_logger(__name__)


class LocalNonces:
    """See webhooks.Nonces, for one process."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    async def is_first(self, name: str, seconds: float) -> bool:
        now = time.monotonic()
        while self._until and (len(self._until) >= MOST or next(iter(self._until.values())) < now):
            self._until.popitem(last=False)
        if name in self._until:
            return False
        self._until[name] = now + seconds
        return True


class RedisNonces:
    """See webhooks.Nonces. While Redis is away each process remembers for itself."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._local = LocalNonces()

    async def is_first(self, name: str, seconds: float) -> bool:
        key = f"triptych:support:nonce:{hashlib.sha256(name.encode()).hexdigest()}"
        try:
            return bool(await self._redis.set(key, b"1", nx=True, ex=int(seconds)))
        except (RedisError, OSError) as error:
            log.warning("webhook.nonces_local", error=type(error).__name__)
            return await self._local.is_first(name, seconds)
