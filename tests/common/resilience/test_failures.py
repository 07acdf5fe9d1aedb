"""Failed sign-ins are counted over all replicas when there is a Redis, by each one when there is none."""

from pathlib import Path

import httpx2
import pytest
from redis.asyncio import Redis

from common.resilience.failures import FailureLimit
from common.resilience.redis_rate_limit import RedisRateLimiter
from tests.support.apps import URL, Small, small_server

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


async def signed_in(server: Small, key: str) -> int:
    async with server.asgi.http_client() as http:
        answer: httpx2.Response = await http.post(f"{URL}/mcp", json=LIST, headers={**HEADERS, "X-API-Key": key})
    return answer.status_code


async def test_replicas_count_failures_together(tmp_path: Path, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    settings = {"redis_url": redis_url, "sign_in_failures_per_minute": 4}
    async with small_server(tmp_path, **settings) as one, small_server(tmp_path, **settings) as two:
        good = one.token()
        assert [await signed_in(one, "wrong") for _ in range(3)] == [401] * 3
        assert await signed_in(two, "wrong") == 401
        assert await signed_in(two, good) == 429
    async with small_server(tmp_path, **settings) as three:
        assert await signed_in(three, good) == 429


async def test_without_redis_each_process_counts(tmp_path: Path) -> None:
    settings = {"redis_url": "redis://127.0.0.1:1", "sign_in_failures_per_minute": 2}
    async with small_server(tmp_path, **settings) as one:
        assert [await signed_in(one, "wrong") for _ in range(3)] == [401, 401, 429]


@pytest.mark.parametrize("believe", [0.0, 1.0])
async def test_what_was_heard_is_believed_for_a_moment_only(redis_url: str, believe: float) -> None:
    now = 0.0
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
        shared = RedisRateLimiter(redis, 0.01, 1, "local")
        limit = FailureLimit(shared, believe, lambda: now)
        assert await limit.wait("10.0.0.1") == 0
        await shared.acquire("10.0.0.1")  # another replica's failure
        assert (await limit.wait("10.0.0.1") == 0) is bool(believe)
        now = 1.1
        assert await limit.wait("10.0.0.1") > 0
