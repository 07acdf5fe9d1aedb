"""Ringing over a real Redis: heard, also after it was emptied or restarted; and nothing in it can hurt."""

import asyncio
import os
import pickle
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from common.jobs.docket_bell import DocketBell
from tests.services.redis import Restartable


@asynccontextmanager
async def listening(bell: DocketBell) -> AsyncIterator[asyncio.Queue[None]]:
    heard: asyncio.Queue[None] = asyncio.Queue()

    async def work() -> None:
        heard.put_nowait(None)

    task = asyncio.create_task(bell.listen(work))
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def bell(redis_url: str) -> AsyncIterator[Callable[[], DocketBell]]:
    name, made = f"test-{uuid.uuid4().hex}", []

    def make() -> DocketBell:
        made.append(DocketBell(redis_url, name, 2, 5.0))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def heard(queue: asyncio.Queue[None], times: int = 1) -> None:
    async with asyncio.timeout(20):
        for _ in range(times):
            await queue.get()


async def test_a_ring_of_one_process_is_heard_by_another(bell: Callable[[], DocketBell]) -> None:
    ringing = bell()
    async with listening(bell()) as queue:
        assert await ringing.ring(3)
        await heard(queue, 3)
        assert await ringing.ring(1, key="same")
        await heard(queue)


async def test_it_is_heard_after_redis_was_restarted_empty() -> None:
    with Restartable() as server:
        ringing, hearing = (DocketBell(server.url, "test", 2, 5.0) for _ in range(2))
        async with listening(hearing) as queue:
            assert await ringing.ring()
            await heard(queue)
            server.stop()
            assert not await ringing.ring()
            server.start()
            async with asyncio.timeout(30):
                while not await ringing.ring():
                    await asyncio.sleep(0.1)
            await heard(queue)
        await ringing.close()
        await hearing.close()


async def test_without_redis_nobody_waits_for_it() -> None:
    bell = DocketBell("redis://127.0.0.1:1/0", "nobody", 2, 5.0)
    assert not await asyncio.wait_for(bell.ring(), 5)
    await bell.close()


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


async def test_a_message_that_somebody_else_wrote_runs_no_code(
    bell: Callable[[], DocketBell], redis_url: str, tmp_path: Path
) -> None:
    ringing, trap = bell(), tmp_path / "trap"
    async with listening(bell()) as queue:
        assert await ringing.ring()
        await heard(queue)
        docket = await ringing._opened()
        message = {"key": "x", "when": "2026-01-01T00:00:00+00:00", "function": "wake", "attempt": "1"}
        harmful = pickle.dumps(Harmful(trap))
        async with Redis.from_url(redis_url) as redis:
            await redis.xadd(docket.stream_key, {**message, "args": harmful, "kwargs": harmful})  # type: ignore[dict-item]
        assert await ringing.ring()
        await heard(queue)
        assert not trap.exists()


async def test_nothing_of_a_job_goes_to_redis(bell: Callable[[], DocketBell], redis_url: str) -> None:
    ringing = bell()
    await ringing.ring(2, key="k")
    docket = await ringing._opened()
    async with Redis.from_url(redis_url) as redis:
        messages: Any = await redis.xrange(docket.stream_key)
        for _, fields in messages:
            assert pickle.loads(fields[b"args"]) == () and pickle.loads(fields[b"kwargs"]) == {}  # noqa: S301 - ours
            assert fields[b"function"] == b"wake"
