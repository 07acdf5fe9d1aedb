"""One contract for the limiter in process and in Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common.resilience.rate_limit import LocalRateLimiter, RateLimiter
from common.resilience.redis_rate_limit import RedisRateLimiter


@pytest.fixture(params=["local", "redis"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[RateLimiter]:
    if request.param == "local":
        yield LocalRateLimiter(rate=1, burst=5)
        return
    redis = Redis.from_url(request.getfixturevalue("redis_url"))
    await redis.flushdb()
    yield RedisRateLimiter(redis, rate=1, burst=5, outage="closed")
    await redis.aclose()


async def test_a_burst_passes_and_then_the_rate_counts(limiter: RateLimiter) -> None:
    waits = [await limiter.acquire("alice") for _ in range(7)]
    assert waits[:5] == [0, 0, 0, 0, 0]
    assert all(0 < wait <= 1 for wait in waits[5:])
    assert await limiter.acquire("bob") == 0


async def test_of_many_at_once_exactly_the_burst_passes(limiter: RateLimiter) -> None:
    waits = await asyncio.gather(*(limiter.acquire("alice") for _ in range(50)))
    assert sum(wait == 0 for wait in waits) == 5


def test_the_rate_is_kept_over_time_and_memory_is_bounded() -> None:
    now = 0.0
    limiter = LocalRateLimiter(rate=10, burst=10, max_keys=1000, clock=lambda: now)
    passed = 0
    for step in range(10_000):
        now = step / 1000
        passed += limiter.check("alice") == 0
        limiter.check(f"other-{step}")
    assert passed == pytest.approx(110, abs=1)
    assert len(limiter._arrival) <= 1000


@pytest.mark.parametrize(("outage", "expected"), [("open", [0, 0, 0]), ("closed", [1, 1, 1])])
async def test_without_redis_the_outage_mode_decides(outage: str, expected: list[float]) -> None:
    redis = Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    limiter = RedisRateLimiter(redis, rate=1, burst=2, outage=outage)  # type: ignore[arg-type]
    assert [await limiter.acquire("alice") for _ in range(3)] == expected
    await redis.aclose()


async def test_without_redis_a_process_may_limit_by_itself() -> None:
    redis = Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    limiter = RedisRateLimiter(redis, rate=1, burst=2, outage="local")
    waits = [await limiter.acquire("alice") for _ in range(3)]
    assert waits[:2] == [0, 0] and waits[2] > 0
    await redis.aclose()
