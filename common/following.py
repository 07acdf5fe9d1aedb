"""One reader of several live sources: what was there before, and then what is new, without loss or doubles."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from common.errors import NotFound
from common.streams import START, Feeds, Item, Place, Reader

T = TypeVar("T", bound=Item)
K = TypeVar("K", bound=Hashable)
BATCH = 200
"""Items that are handed on at once, at most."""
LOOK_SECONDS = 3.0
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Past(Generic[T]):
    """What a source had after a place. `more`: ask again after the last of these."""

    items: list[T]
    more: bool = False


History: TypeAlias = Callable[[K, Place], Awaitable[Past[T]]]


class Following(Generic[K, T]):
    """Reads sources that may come and go. `places` says at each moment where a later reader would go on."""

    def __init__(self, feeds: Feeds[K, T], history: History[K, T], places: Mapping[K, Place]) -> None:
        self.most = BATCH
        """Items in the next batch, at most; the reader may change it at any time."""
        self._feeds = feeds
        self._history = history
        self._places = dict(places)
        self._read = dict(places)
        """What was read, and may not have been handed on yet."""
        self._readers: dict[K, Reader[T]] = {}
        self._behind: set[K] = set()
        self._wake = asyncio.Event()
        self._stack = AsyncExitStack()

    @property
    def places(self) -> Mapping[K, Place]:
        """How far each source was handed on."""
        return self._places

    @property
    def sources(self) -> list[K]:
        return list(self._readers)

    async def join(self, keys: Iterable[K]) -> None:
        """Read these, too. Raises RateLimited."""
        await asyncio.gather(*(self._join(key) for key in keys if not self._has(key)))

    def _has(self, key: K) -> bool:
        """Whether it is read; one that ended and is there again is joined anew."""
        return key in self._readers and not self._readers[key].is_done

    async def _join(self, key: K) -> None:
        ring = await self._stack.enter_async_context(self._feeds.joined(key))
        ring.wakes.add(self._wake)
        self._stack.callback(ring.wakes.discard, self._wake)
        reader = self._readers[key] = Reader(ring)
        if not ring.reaches(self._read.setdefault(key, START)):
            # What is before the ring comes from the source; what is doubled is left out.
            reader.number = -1
        self._wake.set()

    async def __aenter__(self) -> "Following[K, T]":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def is_over(self) -> bool:
        """Whether no source will have anything any more."""
        return bool(self._readers) and all(reader.is_done for reader in self._readers.values())

    async def batches(
        self, look: Callable[[], Awaitable[None]], tail: int | None = None
    ) -> AsyncGenerator[list[T], None]:
        """Items as they come, each batch in the order of places; an empty one every few seconds, after `look`.

        Raises why a source was refused, or what `look` raises, which may join more sources. Of what was there before
        only the last `tail` items are handed on.
        """
        clock = asyncio.get_running_loop().time
        next_look = clock() + LOOK_SECONDS
        while True:
            self._wake.clear()
            found = sorted(await self._round(), key=lambda pair: pair[1].place)
            if not found:
                self._raise()
                if self.is_over:
                    return
            if found and tail is not None:
                self._count(found[: len(found) - min(tail, len(found))])
                found, tail = found[len(found) - min(tail, len(found)) :], None
            while found:
                batch, found = found[: self.most], found[self.most :]
                self._count(batch)
                yield [item for _, item in batch]
            if clock() >= next_look:
                await look()
                yield []
                next_look = clock() + LOOK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_look):
                    await self._wake.wait()
            # Many sources often speak at once: one batch of all of them costs a fraction of one for each.
            await asyncio.sleep(PAUSE_SECONDS)

    def _raise(self) -> None:
        for reader in self._readers.values():
            why = reader.ring.ended
            if why is not None and reader.is_done and not isinstance(why, NotFound):
                raise why.with_traceback(None)

    def _count(self, pairs: Iterable[tuple[K, T]]) -> None:
        """They count as handed on."""
        for key, item in pairs:
            self._places[key] = item.place

    async def _round(self) -> list[tuple[K, T]]:
        """What is new everywhere."""
        late = [key for key, reader in self._readers.items() if reader.has_missed or key in self._behind]
        found = [pair for key, reader in self._readers.items() if key not in late for pair in self._new(key, reader)]
        for pairs in await asyncio.gather(*(self._missed(key, self._readers[key]) for key in late)) if late else ():
            found += pairs
        return found

    def _new(self, key: K, reader: Reader[T]) -> list[tuple[K, T]]:
        if reader.number == reader.ring.end:
            return []
        fresh = self._fresh(key, reader.take(BATCH))
        if reader.number < reader.ring.end:
            self._wake.set()
        return fresh

    async def _missed(self, key: K, reader: Reader[T]) -> list[tuple[K, T]]:
        # From here on the ring keeps what the source is not asked for any more.
        reader.number = max(reader.number, reader.ring.first)
        past = await self._history(key, self._read[key])
        if past.items and key not in self._places:
            # Also who goes away before the first item is handed on comes back to it.
            time, number = past.items[0].place
            self._places[key] = (time, number - 1)
        fresh = self._fresh(key, past.items)
        (self._behind.add if past.more and fresh else self._behind.discard)(key)
        self._wake.set()
        return fresh

    def _fresh(self, key: K, items: list[T]) -> list[tuple[K, T]]:
        """Those after the place that was reached."""
        fresh = [(key, item) for item in items if item.place > self._read[key]]
        if fresh:
            self._read[key] = fresh[-1][1].place
        return fresh
