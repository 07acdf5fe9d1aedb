"""A source that is read by many: nothing is lost, nothing comes twice, and nobody waits for somebody else."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import NotFound, RateLimited, Unavailable
from common.following import Following, Past
from common.streams import START, Feeds, Place, Reader, Ring


@dataclass(frozen=True)
class Number:
    """An item; its place is its value."""

    value: int

    @property
    def place(self) -> Place:
        return (self.value, 0)

    @property
    def size(self) -> int:
        return 10


@dataclass
class Source:
    """Numbers from 0 on, that can be read again from any place, and live."""

    page: int = 7
    numbers: list[Number] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    broken: bool = False
    gone: bool = False
    opened: int = 0

    async def write(self, count: int = 1) -> None:
        async with self.news:
            self.numbers += [Number(len(self.numbers) + index) for index in range(count)]
            self.news.notify_all()

    async def opening(self, _: str, ready: Callable[[], None], after: Place | None) -> AsyncGenerator[Number, None]:
        self.opened += 1
        place = after[0] + 1 if after else len(self.numbers)
        ready()
        while True:
            for number in self.numbers[place:]:
                yield number
            place = len(self.numbers)
            if self.gone:
                raise NotFound("It is gone.")
            if self.broken:
                self.broken = False
                raise Unavailable("The connection broke.")
            async with self.news:
                while len(self.numbers) == place and not (self.broken or self.gone):
                    await self.news.wait()

    async def history(self, _: str, after: Place) -> Past[Number]:
        rest = self.numbers[after[0] + 1 if after != START else 0 :]
        await asyncio.sleep(0)
        return Past(rest[: self.page], len(rest) > self.page)


async def nothing() -> None:
    """No look at anything."""


async def take(feeds: Feeds[str, Number], source: Source, after: Place, count: int) -> list[int]:
    """The next `count` values after a place, on a connection of its own that breaks then."""
    values: list[int] = []
    async with Following(feeds, source.history, {"a": after}) as following, asyncio.timeout(10):
        await following.join(["a"])
        async with aclosing(following.batches(nothing)) as batches:
            async for batch in batches:
                values += [item.value for item in batch]
                if len(values) >= count:
                    return values
    return values


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["write", "much", "read", "break"]), max_size=14), st.integers(1, 9))
def test_whoever_comes_back_goes_on_where_the_connection_broke(steps: list[str], ring: int) -> None:
    async def run() -> None:
        source, read = Source(), list[int]()
        feeds: Feeds[str, Number] = Feeds(source.opening, max_items=ring, linger_seconds=60)
        try:
            await source.write(3)
            for step in steps:
                if step == "break" and feeds.open:
                    async with source.news:
                        source.broken = True
                        source.news.notify_all()
                elif step == "read" and len(source.numbers) > len(read):
                    place = (read[-1], 0) if read else START
                    read += await take(feeds, source, place, 1)
                    await asyncio.sleep(0)
                else:
                    await source.write(25 if step == "much" else 1)
            if len(read) < len(source.numbers):
                place = (read[-1], 0) if read else START
                read += await take(feeds, source, place, len(source.numbers) - len(read))
        finally:
            await feeds.close()
        assert read == list(range(len(source.numbers)))

    asyncio.run(run())


async def test_a_reader_that_stands_still_gets_all_of_it_when_it_goes_on() -> None:
    source = Source(page=100)
    feeds: Feeds[str, Number] = Feeds(source.opening, max_items=20)
    values: list[int] = []
    async with Following(feeds, source.history, {}) as following, asyncio.timeout(10):
        await following.join(["a"])
        async with aclosing(following.batches(nothing)) as batches:
            await source.write()
            values += [item.value for item in await anext(batches)]
            for _ in range(40):
                await source.write(10)
                await asyncio.sleep(0)
            while len(values) < 401:
                values += [item.value for item in await anext(batches)]
    await feeds.close()
    assert values == list(range(401))


async def test_one_source_is_read_once_for_all_and_only_while_somebody_reads() -> None:
    source = Source()
    feeds: Feeds[str, Number] = Feeds(source.opening, linger_seconds=0.05)
    readers = [asyncio.create_task(take(feeds, source, START, 5)) for _ in range(30)]
    await source.write(5)
    assert [await reader for reader in readers] == [list(range(5))] * 30
    assert (source.opened, feeds.open) == (1, 1)
    async with asyncio.timeout(20):
        while feeds.open:
            await asyncio.sleep(0.01)
    await feeds.close()


async def test_a_ring_is_bounded_whether_somebody_reads_or_not() -> None:
    ring: Ring[Number] = Ring(max_items=1000, max_bytes=500)
    reader = Reader(ring)
    tracemalloc.start()
    for value in range(50_000):
        ring.publish(Number(value))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (ring.end - ring.first, ring.end) == (50, 50_000) and reader.has_missed
    assert grown < 100_000


async def test_what_is_gone_ends_and_what_is_too_many_is_refused() -> None:
    source = Source()
    await source.write(3)
    feeds: Feeds[str, Number] = Feeds(source.opening, max_feeds=1)
    async with Following(feeds, source.history, {}) as following, asyncio.timeout(10):
        await following.join(["a"])
        with pytest.raises(RateLimited, match="Too many streams"):
            await following.join(["b"])
        async with source.news:
            source.gone = True
            source.news.notify_all()
        values = [item.value async for batch in following.batches(nothing) for item in batch]
    await feeds.close()
    assert values == [0, 1, 2]


async def test_whoever_leaves_before_the_first_item_comes_back_to_it() -> None:
    source = Source(page=100)
    await source.write(30)
    feeds: Feeds[str, Number] = Feeds(source.opening)
    async with Following(feeds, source.history, {}) as following:
        await following.join(["a", "b"])
        following.most = 1
        async with aclosing(following.batches(nothing)) as batches:
            assert [item.value for item in await anext(batches)] == [0]
        assert following.places == {"a": (0, 0), "b": (0, -1)}
    await feeds.close()
