"""The cache that use cases see: asks memory, then Redis, then loads; each key once at a time over all processes."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import structlog
from redis.asyncio import Redis

from common.cache.entry import Cached, Entry, Rule, new_entry
from common.cache.memory import Memory
from common.cache.results import CacheResults
from common.cache.shared import EVERYTHING, OUTAGE, Lead, Shared
from common.resilience.deadline import deadline, without_deadline
from common.security.encryption import Keyring

T = TypeVar("T")
POLL_SECONDS = 0.02
RESEND_SECONDS = 0.1
Purpose = Literal["answer", "refresh"]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Lookup(Generic[T]):
    """What is looked for, and how to get it otherwise."""

    rule: Rule[T]
    name: str
    load: Callable[[], Awaitable[T | None]]
    tags: frozenset[str]
    tags_of: Callable[[T], Iterable[str]] | None

    def tags_with(self, value: T | None) -> frozenset[str]:
        """All tags of a loaded value."""
        if self.tags_of is None or value is None:
            return self.tags
        return self.tags.union(map(_hash, self.tags_of(value)))


class Cache:
    """Values that are dear to load. Call `invalidate` after each write: only what was read is ever put into it.

    A Redis outage makes it slower, not wrong: without Redis's word on what was invalidated, every call loads.
    """

    def __init__(
        self,
        redis: Redis | None = None,
        prefix: str = "triptych:cache:",
        max_entries: int = 10_000,
        results: CacheResults | None = None,
        keys: Keyring | None = None,
    ) -> None:
        """With `keys` what lies in Redis is sealed."""
        self.results = results or CacheResults()
        self._memory = Memory(max_entries)
        self._shared = Shared(redis, prefix, keys) if redis is not None else None
        self._running: dict[tuple[str, Purpose], tuple[asyncio.Task[Entry], Lookup[Any]]] = {}
        self._unsent: set[str] = set()
        self._has_unsent = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Cache"]:
        """Hear of other processes' invalidations; stop at the end."""
        background = []
        if self._shared is not None:
            listening = self._shared.listen(self._drop, self._memory.clear)
            background = [asyncio.create_task(listening), asyncio.create_task(self._resend(self._shared))]
        try:
            yield self
        finally:
            tasks = [*background, *(task for task, _ in self._running.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def get(
        self,
        rule: Rule[T],
        key: str,
        load: Callable[[], Awaitable[T | None]],
        tags: Sequence[str] = (),
        tags_of: Callable[[T], Iterable[str]] | None = None,
        caller: str | None = None,
    ) -> Cached[T]:
        """The value, loaded if need be; raises whatever `load` raises.

        It is forgotten with its key, one of `tags`, or one that `tags_of` reads from the value. Redis sees hashes of
        keys and tags, since they may be personal.
        """
        if rule.per_caller != (caller is not None):
            raise TypeError(f"{rule.name}: `caller` is for values that depend on who asks, and for no others")
        name = _hash(rule.name, key, caller or "")
        entry, asked_at = self._in_memory(name), time.time()
        if entry is not None and asked_at < entry.fresh_until:
            self.results.count(rule.name, "memory")
            return Cached(entry.value, entry.loaded_at, False)
        every = frozenset([_hash(rule.name, key), *(_hash(tag) for tag in tags), EVERYTHING])
        lookup = Lookup(rule, name, load, every, tags_of)
        if entry is None:
            # One caller who gives up must not take the value from the others.
            entry = await asyncio.shield(self._once(lookup, "answer"))
        # What was loaded since is not stale, however long it took to get here.
        is_stale = asked_at >= entry.fresh_until
        if is_stale:
            self.results.count(rule.name, "stale")
            self._once(lookup, "refresh")
        return Cached(entry.value, entry.loaded_at, is_stale)

    async def invalidate(self, rule: Rule[Any], *keys: str) -> None:
        """Forget the values of these keys: here at once, elsewhere within milliseconds, and for good."""
        await self._invalidate([_hash(rule.name, key) for key in keys])

    async def invalidate_tags(self, *tags: str) -> None:
        """Forget every value with one of the tags, likewise."""
        await self._invalidate([_hash(tag) for tag in tags])

    async def warm(self, rule: Rule[T], keys: Sequence[str], load: Callable[[str], Awaitable[T | None]]) -> None:
        """Load values before they are asked for, a few at a time; a failure is told to the first who asks."""
        few = asyncio.Semaphore(8)

        async def one(key: str) -> None:
            async with few:
                with contextlib.suppress(Exception):
                    await self.get(rule, key, lambda: load(key))

        await asyncio.gather(*map(one, keys))

    def _in_memory(self, name: str) -> Entry | None:
        if self._shared is not None and not self._shared.is_listening:
            return None
        return self._memory.get(name, time.time())

    def _once(self, lookup: Lookup[Any], purpose: Purpose) -> "asyncio.Task[Entry]":
        place = lookup.name, purpose
        if place not in self._running:
            task = asyncio.create_task(self._fetch(lookup, purpose), context=without_deadline())
            self._running[place] = task, lookup
            task.add_done_callback(lambda done: self._finished(place, done))
        return self._running[place][0]

    def _finished(self, place: tuple[str, Purpose], task: "asyncio.Task[Entry]") -> None:
        if place in self._running and self._running[place][0] is task:
            del self._running[place]
        if not task.cancelled() and (error := task.exception()) and place[1] == "refresh":
            log.info("cache.refresh_failed", error=type(error).__name__)

    async def _fetch(self, lookup: Lookup[Any], purpose: Purpose) -> Entry:
        shared = self._shared
        if shared is None or not shared.is_listening or self._unsent:
            return await self._load(lookup, None)
        since = self._memory.moment()
        try:
            found = await self._wait_for_lead(shared, lookup, purpose)
        except OUTAGE as error:
            log.warning("cache.redis_unavailable", error=type(error).__name__)
            return await self._load(lookup, None)
        if isinstance(found, Lead):
            return await self._load(lookup, found)
        self.results.count(lookup.rule.name, "redis")
        self._keep(lookup, found, since)
        return found

    async def _wait_for_lead(self, shared: Shared, lookup: Lookup[Any], purpose: Purpose) -> Entry | Lead:
        """What another process loaded, or the right to load it."""
        while True:
            entry = await shared.read(lookup.name, lookup.rule)
            if entry is not None and (purpose == "answer" or time.time() < entry.fresh_until):
                return entry
            lead = await shared.lead(lookup.name, lookup.rule.load_seconds)
            if not lead.is_mine:
                if entry is not None:
                    return entry
                await asyncio.sleep(POLL_SECONDS)
            elif (fresh := await shared.read(lookup.name, lookup.rule)) and time.time() < fresh.fresh_until:
                # Somebody filled it and gave the lead back in between.
                await shared.released(lookup.name, lead)
                return fresh
            else:
                return lead

    async def _load(self, lookup: Lookup[Any], lead: Lead | None) -> Entry:
        since = self._memory.moment()
        try:
            async with deadline(lookup.rule.load_seconds):
                value = await lookup.load()
        except BaseException:
            if self._shared and lead:
                await self._shared.released(lookup.name, lead)
            raise
        self.results.count(lookup.rule.name, "loaded")
        entry = new_entry(lookup.rule, value, lookup.tags_with(value), time.time())
        self._keep(lookup, entry, since)
        if self._shared and lead:
            with contextlib.suppress(*OUTAGE):
                await self._shared.fill(lookup.name, entry, lookup.rule, lead)
        return entry

    def _keep(self, lookup: Lookup[Any], entry: Entry, since: int) -> None:
        if not self._memory.put(lookup.name, entry, since, time.time()):
            self.results.count(lookup.rule.name, "overtaken")

    def _drop(self, tags: Sequence[str]) -> None:
        self._memory.drop(tags)
        # Who asks from now on must not get what began to be loaded before.
        for place, (_, lookup) in list(self._running.items()):
            if lookup.tags_of or not lookup.tags.isdisjoint(tags):
                del self._running[place]

    async def _invalidate(self, tags: list[str]) -> None:
        self._drop(tags)
        if self._shared is None:
            return
        try:
            await self._shared.invalidate(tags)
        except OUTAGE as error:
            log.warning("cache.invalidation_waits", error=type(error).__name__)
            self._unsent.update(tags)
            self._has_unsent.set()

    async def _resend(self, shared: Shared) -> None:
        """Send what could not be sent; until then this process does not read from Redis."""
        while True:
            await self._has_unsent.wait()
            tags = list(self._unsent)
            try:
                await shared.invalidate(tags)
                self._unsent.difference_update(tags)
            except OUTAGE:
                pass
            except Exception as error:
                log.error("cache.resend_failed", error=type(error).__name__)
            if not self._unsent:
                self._has_unsent.clear()
            await asyncio.sleep(RESEND_SECONDS)


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
