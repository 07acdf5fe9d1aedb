"""More calls at once than the pool has connections: they take turns, and only a Redis that is ill counts as one."""

import asyncio
import secrets
from typing import Any

import pytest

from common.cache.cache import Cache
from common.redis_client import CONNECTIONS, connect_redis
from common.resilience.redis_rate_limit import RedisRateLimiter

MANY = 5 * CONNECTIONS


async def test_many_calls_at_once_are_no_outage_beside_a_subscription(redis_url: str) -> None:
    redis, unshared = connect_redis(redis_url), []
    pool: Any = redis.connection_pool
    # A busy machine may take its time; what is asked here is whether they get a turn.
    pool.timeout = 30.0
    pool.connection_kwargs |= {"socket_timeout": 30.0, "socket_connect_timeout": 30.0}
    limiter = RedisRateLimiter(
        redis, 1000, 1000, "closed", f"test:{secrets.token_hex(4)}:", on_outage=lambda: unshared.append(1)
    )
    async with Cache(redis).opened():
        assert await asyncio.gather(*(limiter.acquire(f"user-{number}") for number in range(MANY))) == [0.0] * MANY
    assert not unshared
    await redis.aclose()
    assert not pool._in_use_connections


@pytest.mark.parametrize("kind", ["dead_port", "silent_port"])
async def test_of_a_redis_that_refuses_or_hangs_all_of_them_are_told(kind: str, request: pytest.FixtureRequest) -> None:
    redis, unshared = connect_redis(f"redis://127.0.0.1:{request.getfixturevalue(kind)}/0"), []
    limiter = RedisRateLimiter(redis, 1000, 1000, "closed", on_outage=lambda: unshared.append(1))
    async with asyncio.timeout(10):
        waits = await asyncio.gather(*(limiter.acquire(f"user-{number}") for number in range(MANY)))
    assert all(waits) and len(unshared) == MANY
    await redis.aclose()
