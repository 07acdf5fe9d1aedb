"""Who dealt with which customer lately: in Redis for all processes, or in this process (hot state, pattern 5)."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from common.security.encryption import CannotOpen, Keyring
from support_hub.adapters.sealed import Sealer
from support_hub.ports import Mark

KEPT_SECONDS = 86_400
MOST = 10_000
MOST_ADDRESSES = 8


class LocalMarks:
    """See ports.Marks, for one process."""

    def __init__(self) -> None:
        self._marks: OrderedDict[str, dict[tuple[str, str], tuple[Mark, float]]] = OrderedDict()

    async def add(self, emails: Sequence[str], mark: Mark) -> None:
        for email in emails[:MOST_ADDRESSES]:
            marks = self._marks.setdefault(email.lower(), {})
            marks[mark.who, mark.did] = mark, time.monotonic() + KEPT_SECONDS
            self._marks.move_to_end(email.lower())
        while len(self._marks) > MOST:
            self._marks.popitem(last=False)

    async def of(self, emails: Sequence[str]) -> list[Mark]:
        now = time.monotonic()
        found = [self._marks.get(email.lower(), {}).values() for email in emails[:MOST_ADDRESSES]]
        return newest(mark for marks in found for mark, until in marks if now < until)


class RedisMarks:
    """See ports.Marks. Customers are hashed with a key, marks are sealed."""

    def __init__(self, redis: Redis, prefix: str, keys: Keyring) -> None:
        self._redis = redis
        self._prefix = prefix
        self._keys = keys
        self._sealer = Sealer(keys)

    async def add(self, emails: Sequence[str], mark: Mark) -> None:
        field = self._keys.index(f"{mark.who} {mark.did}", "mark")
        async with self._redis.pipeline(transaction=False) as pipeline:
            for email in emails[:MOST_ADDRESSES]:
                index = self._sealer.index(email)
                sealed = self._sealer.seal({**asdict(mark), "at": mark.at.isoformat()}, "marks", index, field)
                pipeline.hset(self._prefix + index, field, sealed)
                pipeline.expire(self._prefix + index, KEPT_SECONDS)
            await pipeline.execute()

    async def of(self, emails: Sequence[str]) -> list[Mark]:
        indexes = list(self._sealer.indexes(emails[:MOST_ADDRESSES]))
        async with self._redis.pipeline(transaction=False) as pipeline:
            for index in indexes:
                pipeline.hgetall(self._prefix + index)
            answers = await pipeline.execute()
        pairs = zip(indexes, answers, strict=True)
        return newest(self._open(sealed, index, field) for index, marks in pairs for field, sealed in marks.items())

    def _open(self, sealed: bytes, index: str, field: bytes) -> Mark | None:
        try:
            raw = self._sealer.open(sealed, "marks", index, field.decode())
        except CannotOpen:
            return None
        return Mark(raw["who"], raw["did"], datetime.fromisoformat(raw["at"]))


def newest(marks: Any) -> list[Mark]:
    """The last one of each colleague and deed, newest first."""
    last: dict[tuple[str, str], Mark] = {}
    for mark in sorted(filter(None, marks), key=lambda each: each.at):
        last[mark.who, mark.did] = mark
    return sorted(last.values(), key=lambda each: each.at, reverse=True)
