"""Sessions that were ended before their time: in this process, and in Redis for all replicas if there is one."""

import time
from typing import TYPE_CHECKING

import structlog

from common.errors import Unavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAX_KEPT = 10_000
log = structlog.get_logger(__name__)


class SignedOut:
    """Session ids, each kept until its session would have expired."""

    def __init__(self, server: str, redis: "Redis | None") -> None:
        self._prefix = f"triptych:console:{server}:signed-out:"
        self._redis = redis
        self._until: dict[str, float] = {}

    async def add(self, sid: str, until: float) -> None:
        """Refuse this session from now on."""
        self._until[sid] = until
        if len(self._until) > MAX_KEPT:
            self._forget()
        seconds = int(until - time.time()) + 1
        if self._redis is not None and seconds > 0:
            from redis.exceptions import RedisError

            try:
                await self._redis.set(self._prefix + sid, 1, ex=seconds)
            except RedisError as error:
                log.error("console.sign_out_not_shared", error=str(error))

    async def has(self, sid: str, must_know: bool) -> bool:
        """Whether it was ended. Raises Unavailable if nobody can tell and the caller must know."""
        if sid in self._until:
            return True
        if self._redis is None:
            return False
        from redis.exceptions import RedisError

        try:
            return bool(await self._redis.exists(self._prefix + sid))
        except RedisError as error:
            # To look around stays possible: an outage is when the overview is needed most.
            log.warning("console.sign_out_not_checked", error=str(error))
            if must_know:
                raise Unavailable("Redis does not answer, so changes are refused.", "Try again later.") from None
            return False

    def _forget(self) -> None:
        now = time.time()
        alive = sorted((until, sid) for sid, until in self._until.items() if until > now)
        self._until = {sid: until for until, sid in alive[-MAX_KEPT // 2 :]}
