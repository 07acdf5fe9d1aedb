"""The second level: Redis, by whose clock it is decided whether an entry is older than an invalidation."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.cache.entry import Entry, Rule
from common.security.encryption import CannotOpen, Keyring, place

OUTAGE = (RedisError, OSError, TimeoutError)
LONGEST_LIFE_SECONDS = 86_400
"""Invalidations are remembered for as long as any entry may live."""
EVERYTHING = "*"
"""A tag that every entry has."""
SILENCE_SECONDS = 5.0
log = structlog.get_logger(__name__)

INVALIDATE = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
for _, key in ipairs(KEYS) do redis.call('SET', key, string.format('%.0f', now), 'EX', ARGV[1]) end
redis.call('PUBLISH', ARGV[2], ARGV[3])
"""
FILL = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('GET', KEYS[2]) == ARGV[3] then redis.call('DEL', KEYS[2]) end
"""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


Drop = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Lead:
    """The right to load a value, held by one process at a time."""

    token: str
    began: int
    """Microseconds by the clock of Redis."""
    is_mine: bool


class Shared:
    """Entries of all processes. Methods raise one of OUTAGE if Redis is away."""

    def __init__(self, redis: Redis, prefix: str, keys: Keyring | None = None) -> None:
        self._redis = redis
        self._keys = keys
        self._prefix = prefix
        self._channel = f"{prefix}invalidated"
        self._invalidate = redis.register_script(INVALIDATE)
        self._fill = redis.register_script(FILL)
        self._release = redis.register_script(RELEASE)
        self.is_listening = False
        """Whether invalidations of other processes arrive. Without them the first level must not be trusted."""

    async def read(self, key: str, rule: Rule[Any]) -> Entry | None:
        """The entry, unless something invalidated it since its load began."""
        raw = await self._redis.get(self._entry(key))
        if raw is None:
            return None
        head, _, body = cast(bytes, raw).partition(b"\n")
        about = json.loads(head)
        marks = await self._redis.mget([self._mark(tag) for tag in about["tags"]])
        if any(mark is not None and int(mark) >= about["began"] for mark in marks):
            return None
        try:
            body = self._opened(key, body)
        except CannotOpen:
            # Another process has a key that this one does not know yet, or no more.
            return None
        value = rule.type.validate_json(body) if body else None
        return Entry(value, about["loaded"], about["fresh"], about["usable"], frozenset(about["tags"]))

    async def lead(self, key: str, seconds: float) -> Lead:
        """Ask to be the one who loads."""
        token = secrets.token_hex(8)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(self._lock(key), token, nx=True, px=int(seconds * 1000))
            pipeline.time()
            is_mine, (second, micro) = await pipeline.execute()
        return Lead(token, second * 1_000_000 + micro, bool(is_mine))

    async def fill(self, key: str, entry: Entry, rule: Rule[Any], lead: Lead) -> None:
        """Write what was loaded, and give the lead back. It counts only if nothing invalidated it since."""
        about = {
            "tags": sorted(entry.tags),
            "began": lead.began,
            "loaded": entry.loaded_at,
            "fresh": entry.fresh_until,
            "usable": entry.usable_until,
        }
        body = b"" if entry.value is None else rule.type.dump_json(entry.value)
        if self._keys is not None:
            body = self._keys.seal(body, place(self._entry(key)))
        life = min(entry.usable_until - entry.loaded_at, LONGEST_LIFE_SECONDS)
        arguments = [json.dumps(about).encode() + b"\n" + body, max(1, int(life * 1000)), lead.token]
        await self._run(self._fill, [self._entry(key), self._lock(key)], arguments)

    async def released(self, key: str, lead: Lead) -> None:
        """Give the lead back without a value; if Redis is away, it ends by itself."""
        with contextlib.suppress(*OUTAGE):
            await self._run(self._release, [self._lock(key)], [lead.token])

    async def invalidate(self, tags: Sequence[str]) -> None:
        """Make every entry with one of the tags count no more, and tell all processes."""
        arguments = [LONGEST_LIFE_SECONDS * 2, self._channel, json.dumps(list(tags))]
        await self._run(self._invalidate, [self._mark(tag) for tag in tags], arguments)

    async def listen(self, drop: Drop, clear: Callable[[], None]) -> None:
        """Pass on invalidations until cancelled. What may have been missed clears everything."""
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(self._channel)
                    await self._pass_on(subscription, drop, clear)
            except Exception as error:
                # Also a message that is none: whoever stops listening here trusts no memory from then on.
                log.warning("cache.not_listening", error=type(error).__name__)
            finally:
                self.is_listening = False
            await asyncio.sleep(0.1)

    async def _pass_on(self, subscription: Any, drop: Drop, clear: Callable[[], None]) -> None:
        heard = True
        while True:
            message = await subscription.get_message(timeout=SILENCE_SECONDS)
            if message is None and not heard:
                raise TimeoutError
            heard = message is not None
            if message is None:
                # A connection that died silently shows by the missing answer.
                await subscription.ping()
            elif message["type"] == "subscribe":
                clear()
                self.is_listening = True
            elif message["type"] == "message":
                drop(json.loads(message["data"]))

    async def _run(self, script: Any, keys: list[str], arguments: list[Any]) -> None:
        await cast(Awaitable[Any], script(keys=keys, args=arguments))

    def _opened(self, key: str, body: bytes) -> bytes:
        return self._keys.open(body, place(self._entry(key))) if self._keys is not None else body

    def _entry(self, key: str) -> str:
        return f"{self._prefix}entry:{key}"

    def _lock(self, key: str) -> str:
        return f"{self._prefix}lock:{key}"

    def _mark(self, tag: str) -> str:
        return f"{self._prefix}tag:{tag}"
