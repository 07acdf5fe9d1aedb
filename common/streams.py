"""Live streams: one source, many readers, and none of them waits for another.

A source publishes into a ring. A reader is no more than a place in it: one that stops reading costs neither memory nor
time. Who falls behind the end of the ring is told so, and goes back to the source for what it missed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from typing import Generic, Protocol, TypeAlias, TypeVar

import structlog

from common.errors import AppError, Denied, NotFound, RateLimited, Unavailable
from common.resilience.deadline import without_deadline

Place: TypeAlias = tuple[int, int]
"""Where an item stands in its source; places only grow."""
START: Place = (0, -1)
"""Before every item."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between the end of a source and the next look at it."""
log = structlog.get_logger(__name__)


class Item(Protocol):
    """What a stream carries."""

    @property
    def place(self) -> Place: ...

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        ...


T = TypeVar("T", bound=Item)
K = TypeVar("K", bound=Hashable)
Opening: TypeAlias = Callable[[K, Callable[[], None], Place | None], AsyncGenerator[T, None]]
"""Opens a source after a place (None: its present end); calls the function once nothing after that can be missed."""


class Ring(Generic[T]):
    """The newest items of one source, bounded in number and in bytes."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._items: deque[T] = deque()
        self._max_items, self._max_bytes, self._bytes = max_items, max_bytes, 0
        self.first = 0
        """Number of the oldest item that is still there; the first one of all had 0."""
        self.wakes: set[asyncio.Event] = set()
        """Set at each new item. To set what is set already costs next to nothing."""
        self.ready = asyncio.Event()
        self.ended: AppError | None = None
        """Why nothing will come any more; NotFound: it is gone."""

    @property
    def end(self) -> int:
        """Number of the next item."""
        return self.first + len(self._items)

    @property
    def last(self) -> Place | None:
        return self._items[-1].place if self._items else None

    def publish(self, item: T) -> None:
        """Never waits for a reader."""
        self._items.append(item)
        self._bytes += item.size
        while len(self._items) > self._max_items or (self._bytes > self._max_bytes and len(self._items) > 1):
            self._bytes -= self._items.popleft().size
            self.first += 1
        self._wake()

    def close(self, why: AppError) -> None:
        """Nothing follows."""
        self.ended = why
        self.ready.set()
        self._wake()

    def _wake(self) -> None:
        for wake in self.wakes:
            wake.set()

    def reaches(self, place: Place) -> bool:
        """Whether everything after this place is here."""
        return bool(self._items) and self._items[0].place <= place

    def read(self, number: int, limit: int) -> list[T]:
        """At most `limit` items from this number on."""
        return list(islice(self._items, max(0, number - self.first), max(0, number - self.first) + limit))


class Reader(Generic[T]):
    """A place in a ring."""

    def __init__(self, ring: Ring[T]) -> None:
        self.ring = ring
        self.number = ring.first

    @property
    def has_missed(self) -> bool:
        """Whether the ring has dropped what was not read yet."""
        return self.number < self.ring.first

    @property
    def is_done(self) -> bool:
        return self.ring.ended is not None and self.number >= self.ring.end

    def take(self, limit: int) -> list[T]:
        """What is there, at most `limit` items; empty if nothing is new. Not to be asked while something is missed."""
        items = self.ring.read(self.number, limit)
        self.number += len(items)
        return items


class Feeds(Generic[K, T]):
    """Sources that are read once for all their readers, and only while somebody reads them."""

    def __init__(
        self,
        opening: Opening[K, T],
        max_items: int = 1000,
        max_bytes: int = 512 * 1024,
        max_feeds: int = 500,
        linger_seconds: float = 5.0,
    ) -> None:
        self._opening = opening
        self._sizes = (max_items, max_bytes)
        self._max_feeds = max_feeds
        self._linger = linger_seconds
        self._rings: dict[K, Ring[T]] = {}
        self._pumps: dict[K, asyncio.Task[None]] = {}
        self._readers: dict[K, int] = {}
        self._leaving: dict[K, asyncio.TimerHandle] = {}

    @property
    def open(self) -> int:
        """Sources that are being read."""
        return len(self._pumps)

    @asynccontextmanager
    async def joined(self, key: K) -> AsyncIterator[Ring[T]]:
        """The ring of a source, once nothing that is new can be missed. Raises RateLimited if there are too many."""
        ring = self._ring(key)
        self._readers[key] = self._readers.get(key, 0) + 1
        try:
            await ring.ready.wait()
            yield ring
        finally:
            self._left(key)

    def _ring(self, key: K) -> Ring[T]:
        if handle := self._leaving.pop(key, None):
            handle.cancel()
        ring = self._rings.get(key)
        if ring is None or ring.ended is not None:
            if ring is None and len(self._rings) >= self._max_feeds:
                raise RateLimited("Too many streams are open here.", "Follow fewer pods.", retry_after=self._linger)
            ring = self._rings[key] = Ring(*self._sizes)
            # The deadline of whoever came first must not end what others read.
            self._pumps[key] = asyncio.create_task(self._pump(key, ring), context=without_deadline())
        return ring

    def _left(self, key: K) -> None:
        self._readers[key] -= 1
        if not self._readers[key]:
            del self._readers[key]
            # For a while it goes on: who lost the connection is back within seconds.
            self._leaving[key] = asyncio.get_running_loop().call_later(self._linger, self._stop, key)

    def _stop(self, key: K) -> None:
        self._leaving.pop(key, None)
        self._rings.pop(key, None)
        if pump := self._pumps.pop(key, None):
            pump.cancel()

    async def _pump(self, key: K, ring: Ring[T]) -> None:
        pause = FIRST_PAUSE
        while True:
            before = ring.end
            try:
                async with aclosing(self._opening(key, ring.ready.set, ring.last)) as items:
                    async for item in items:
                        ring.publish(item)
            except AppError as error:
                if isinstance(error, NotFound | Denied) or not ring.ready.is_set():
                    return ring.close(error)
                log.info("stream.broken", error=error.code)
            except Exception as error:
                log.error("stream.failed", exc_info=error)
                return ring.close(Unavailable("The stream failed here.", "Follow it again."))
            pause = FIRST_PAUSE if ring.end > before else min(LONGEST_PAUSE, 2 * pause)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Stop reading everything."""
        for handle in self._leaving.values():
            handle.cancel()
        pumps = list(self._pumps.values())
        for pump in pumps:
            pump.cancel()
        for pump in pumps:
            with contextlib.suppress(asyncio.CancelledError):
                await pump
        for state in (self._leaving, self._rings, self._pumps, self._readers):
            state.clear()
