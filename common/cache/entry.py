"""What is cached, and for how long."""

import random
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True)
class Rule(Generic[T]):
    """How one kind of data is cached. Times in seconds."""

    name: str
    type: TypeAdapter[T]
    """What values are made of, for Redis. Frozen classes, since callers share the copy in memory."""
    ttl: float
    stale: float = 0.0
    """How much longer a value is given out while a new one is loaded, or when that fails."""
    negative: float = 5.0
    """How long it is remembered that there is none."""
    load_seconds: float = 30.0
    per_caller: bool = False
    """Whether values depend on who asks; then `caller` must be given, and is part of the key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A loaded value; None if there is none. Times are seconds since 1970."""

    value: Any
    loaded_at: float
    fresh_until: float
    usable_until: float
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Cached(Generic[T]):
    """What the cache gives out."""

    value: T | None
    loaded_at: float
    is_stale: bool


def new_entry(rule: Rule[Any], value: Any, tags: frozenset[str], now: float) -> Entry:
    """An entry as the rule says; entries that were loaded together do not end together."""
    ttl = rule.negative if value is None else rule.ttl
    fresh = now + ttl * random.uniform(0.9, 1.0)  # noqa: S311 - jitter
    return Entry(value, now, fresh, fresh + (0 if value is None else rule.stale), tags)
