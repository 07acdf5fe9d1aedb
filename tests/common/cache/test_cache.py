import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import TypeAdapter
from redis.asyncio import Redis

from common.cache.cache import Cache
from common.cache.entry import Cached, Rule
from common.resilience.deadline import deadline
from tests.support.audit import until


@dataclass(frozen=True)
class Customer:
    name: str
    orders: int = 0


RULE = Rule("customer", TypeAdapter(Customer), ttl=60)


class Source:
    """A database with a version that counts up, read slowly if told so."""

    def __init__(self) -> None:
        self.customer: Customer | None = Customer("Ada")
        self.loads = 0
        self.go = asyncio.Event()
        self.go.set()

    async def load(self) -> Customer | None:
        self.loads += 1
        found = self.customer
        await self.go.wait()
        return found


Open = Callable[..., Any]


@pytest.fixture(params=["memory", "redis"])
async def open_cache(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Makes caches that share a Redis (each as in a process of its own), or one without."""
    prefix = f"test:{secrets.token_hex(4)}:"
    async with AsyncExitStack() as stack:

        async def make() -> Cache:
            if request.param == "memory":
                return await stack.enter_async_context(Cache().opened())
            redis = Redis.from_url(request.getfixturevalue("redis_url"))
            stack.push_async_callback(redis.aclose)
            return await stack.enter_async_context(listening(Cache(redis, prefix)))

        yield make


@asynccontextmanager
async def listening(cache: Cache) -> AsyncIterator[Cache]:
    async with cache.opened():
        shared = cache._shared
        if shared is not None:
            await until(lambda: shared.is_listening)
        yield cache


async def test_a_value_is_loaded_once(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    found = [await cache.get(RULE, "1", source.load) for _ in range(3)]
    assert [each.value for each in found] == [Customer("Ada")] * 3
    assert source.loads == 1


async def test_a_thousand_callers_at_once_cause_one_load(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    source.go.clear()
    calls = [asyncio.ensure_future(cache.get(RULE, "1", source.load)) for _ in range(1000)]
    await until(lambda: source.loads == 1)
    source.go.set()
    assert {(await call).value for call in calls} == {Customer("Ada")}
    assert source.loads == 1


async def test_a_caller_who_gives_up_does_not_take_the_value_from_the_others(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    source.go.clear()
    with pytest.raises(Exception, match="did not finish"):
        async with deadline(0.05):
            await cache.get(RULE, "1", source.load)
    waiting = asyncio.ensure_future(cache.get(RULE, "1", source.load))
    await asyncio.sleep(0)
    source.go.set()
    assert (await waiting).value == Customer("Ada")
    assert source.loads == 1


async def test_that_there_is_none_is_remembered_for_a_shorter_time(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    source.customer = None
    brief = replace(RULE, negative=0.2)
    assert [(await cache.get(brief, "1", source.load)).value for _ in range(2)] == [None, None]
    assert source.loads == 1
    source.customer = Customer("Ada")
    async with asyncio.timeout(20):
        while (await cache.get(brief, "1", source.load)).value is None:
            await asyncio.sleep(0.01)


async def test_a_failure_is_told_to_everyone_and_not_remembered(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()

    async def fail() -> Customer:
        raise ValueError("broken")

    found = await asyncio.gather(*[cache.get(RULE, "1", fail) for _ in range(3)], return_exceptions=True)
    assert all(isinstance(each, ValueError) for each in found)
    assert (await cache.get(RULE, "1", source.load)).value == Customer("Ada")


async def test_a_stale_value_is_given_out_at_once_and_refreshed(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    rule = replace(RULE, ttl=0.05, stale=60)
    await cache.get(rule, "1", source.load)
    source.customer = Customer("Grace")
    source.go.clear()
    await asyncio.sleep(0.06)
    stale = await cache.get(rule, "1", source.load)
    assert (stale.value, stale.is_stale) == (Customer("Ada"), True)
    source.go.set()
    async with asyncio.timeout(20):
        while (await cache.get(rule, "1", source.load)).value != Customer("Grace"):
            await asyncio.sleep(0.01)


async def test_what_was_just_loaded_is_not_stale(open_cache: Open) -> None:
    """Though it may be over before its caller comes to look at it."""
    cache, source = await open_cache(), Source()
    rule = replace(RULE, ttl=1e-9, stale=60)
    assert not (await cache.get(rule, "1", source.load)).is_stale
    assert (await cache.get(rule, "1", source.load)).is_stale


async def test_a_stale_value_bridges_a_failing_source(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    rule = replace(RULE, ttl=0.01, stale=60)
    await cache.get(rule, "1", source.load)

    async def fail() -> Customer:
        raise ValueError

    await asyncio.sleep(0.02)
    for _ in range(5):
        found = await cache.get(rule, "1", fail)
        assert (found.value, found.is_stale) == (Customer("Ada"), True)
        await asyncio.sleep(0)


async def test_an_invalidated_value_is_not_even_given_out_as_stale(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    rule = replace(RULE, stale=60)
    await cache.get(rule, "1", source.load)
    source.customer = Customer("Grace")
    await cache.invalidate(rule, "1")
    assert (await cache.get(rule, "1", source.load)).value == Customer("Grace")


async def test_a_tag_takes_its_values_along_and_no_others(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    await cache.get(RULE, "1", source.load, tags=["region:north"])
    await cache.get(RULE, "2", source.load, tags=["region:south"])
    await cache.invalidate_tags("region:north")
    await cache.get(RULE, "2", source.load)
    assert source.loads == 2
    await cache.get(RULE, "1", source.load)
    assert source.loads == 3


async def test_a_tag_may_come_from_the_value(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()

    async def ask() -> Customer | None:
        found: Cached[Customer] = await cache.get(RULE, "1", source.load, tags_of=lambda each: [f"name:{each.name}"])
        return found.value

    await ask()
    await cache.invalidate_tags("name:Ben")
    await ask()
    assert source.loads == 1
    await cache.invalidate_tags("name:Ada")
    await ask()
    assert source.loads == 2
    source.go.clear()
    await cache.invalidate_tags("name:Ada")
    early = asyncio.ensure_future(ask())
    await until(lambda: source.loads == 3)
    source.customer = Customer("Grace")
    await cache.invalidate_tags("name:Ada")
    late = asyncio.ensure_future(ask())
    await asyncio.sleep(0.05)
    source.go.set()
    await early
    assert [await late, await ask()] == [Customer("Grace")] * 2


async def test_race_of_a_write_and_a_read(open_cache: Open) -> None:
    """A read that began before a write must not leave its value behind."""
    cache, source = await open_cache(), Source()
    source.go.clear()
    early = asyncio.ensure_future(cache.get(RULE, "1", source.load))
    await until(lambda: source.loads == 1)
    source.customer = Customer("Grace")
    await cache.invalidate(RULE, "1")
    late = asyncio.ensure_future(cache.get(RULE, "1", source.load))
    await asyncio.sleep(0.01)
    source.go.set()
    await early
    assert (await late).value == Customer("Grace")
    assert (await cache.get(RULE, "1", source.load)).value == Customer("Grace")


async def test_race_of_two_writes(open_cache: Open) -> None:
    """Whatever order two writers are interleaved in, the last write is what is read."""
    cache, source = await open_cache(), Source()
    await cache.get(RULE, "1", source.load)
    source.customer = Customer("first")
    reading = asyncio.ensure_future(cache.get(RULE, "1", source.load))
    source.customer = Customer("second")
    second = asyncio.ensure_future(cache.invalidate(RULE, "1"))
    first = asyncio.ensure_future(cache.invalidate(RULE, "1"))
    await asyncio.gather(reading, second, first)
    assert (await cache.get(RULE, "1", source.load)).value == Customer("second")


async def test_values_that_depend_on_the_caller_are_not_shared(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    own = replace(RULE, per_caller=True)
    await cache.get(own, "1", source.load, caller="ada")
    source.customer = Customer("for Ben")
    assert (await cache.get(own, "1", source.load, caller="ben")).value == Customer("for Ben")
    assert (await cache.get(own, "1", source.load, caller="ada")).value == Customer("Ada")
    with pytest.raises(TypeError):
        await cache.get(own, "1", source.load)
    with pytest.raises(TypeError):
        await cache.get(RULE, "1", source.load, caller="ada")
    await cache.invalidate(own, "1")
    assert (await cache.get(own, "1", source.load, caller="ada")).value == Customer("for Ben")


async def test_warming_loads_before_anyone_asks(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()

    async def load(key: str) -> Customer:
        if key == "bad":
            raise ValueError
        return Customer(key)

    await cache.warm(RULE, ["1", "bad", "2"], load)
    assert (await cache.get(RULE, "2", source.load)).value == Customer("2")
    assert source.loads == 0


async def test_hit_rates_are_told_by_kind(open_cache: Open) -> None:
    cache, source = await open_cache(), Source()
    for _ in range(4):
        await cache.get(RULE, "1", source.load)
    assert cache.results.hit_rates() == {"customer": 0.75}
