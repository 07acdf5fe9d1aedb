"""One contract for the limiter in process and in Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common.resilience.rate_limit import LocalRateLimiter, RateLimiter
from common.resilience.redis_rate_limit import Outage, RedisRateLimiter
from tests.services.redis import Restartable


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


async def test_looking_counts_nothing(limiter: RateLimiter) -> None:
    for _ in range(20):
        assert await limiter.look("alice") == 0
    assert [await limiter.acquire("alice") for _ in range(5)] == [0] * 5
    assert await limiter.look("alice") > 0


async def test_the_shared_limit_is_kept_to_the_microsecond(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
        limiter = RedisRateLimiter(redis, rate=1 / 3.3333333, burst=100, outage="closed")
        await limiter.acquire("alice")
        first = float(await redis.get("triptych:rate:alice") or 0)
        for _ in range(60):
            await limiter.acquire("alice")
        assert float(await redis.get("triptych:rate:alice") or 0) - first == pytest.approx(200, abs=1e-4)


@pytest.mark.parametrize(
    ("outage", "during"), [("open", [True] * 4), ("closed", [False] * 4), ("local", [True, True, False, False])]
)
async def test_an_outage_is_bridged_as_the_mode_says_and_ends_by_itself(outage: Outage, during: list[bool]) -> None:
    now, unshared = 0.0, []
    with Restartable() as redis_server:
        redis = Redis.from_url(redis_server.url, socket_connect_timeout=5, socket_timeout=5, retry=None)
        limiter = RedisRateLimiter(redis, 0.001, 2, outage, clock=lambda: now, on_outage=lambda: unshared.append(1))
        assert [await limiter.acquire("alice") == 0 for _ in range(3)] == [True, True, False]
        await asyncio.to_thread(redis_server.stop)
        assert [await limiter.acquire("alice") == 0 for _ in range(4)] == during
        assert len(unshared) == 4
        await asyncio.to_thread(redis_server.start)
        assert [await limiter.acquire("alice") == 0 for _ in range(2)] == during[2:] or outage == "local"
        now += 1.01
        # Redis forgot what was counted; it decides again.
        assert [await limiter.acquire("bob") == 0 for _ in range(3)] == [True, True, False]
        await redis.aclose()


async def test_a_redis_that_hangs_delays_one_call_a_second(redis_url: str) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with Redis.from_url(f"redis://127.0.0.1:{port}", socket_timeout=0.2, retry=None) as redis:
        limiter = RedisRateLimiter(redis, rate=1, burst=2, outage="open", clock=lambda: 0.0)
        started = asyncio.get_running_loop().time()
        assert [await limiter.acquire("alice") for _ in range(50)] == [0.0] * 50
        assert asyncio.get_running_loop().time() - started < 5, "each of them waited"
    silent.close()
