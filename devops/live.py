"""What live logs and live events share: places in a log, and who reads on whose behalf."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Generic, TypeAlias, TypeVar

from common.following import Following
from common.security.principal import Principal
from common.streams import Item, Place
from devops.ports import Cluster

SECOND = 10**9
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
T = TypeVar("T", bound=Item)
K = TypeVar("K", bound=Hashable)
Look: TypeAlias = Callable[[], Awaitable[None]]


async def no_look() -> None:
    """For a caller whose rights cannot change while it waits."""


@lru_cache(maxsize=1024)
def _seconds(moment: str, zone: str) -> int:
    return int(datetime.fromisoformat(moment + zone.replace("Z", "+00:00")).timestamp())


def nanoseconds(moment: str) -> int | None:
    """Since 1970, of a time as RFC 3339 has it; None if it is none."""
    found = _TIME.fullmatch(moment)
    if found is None:
        return None
    try:
        return _seconds(found[1], found[3]) * SECOND + int((found[2] or "0").ljust(9, "0"))
    except ValueError:
        return None


def second_of(place: Place) -> str:
    """The whole second in which it is, RFC 3339: from there on a log can be read again and counted anew."""
    return datetime.fromtimestamp(place[0] // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Numbering:
    """Places for lines: their time, and how many of the same time came before. They grow whatever the clock does."""

    def __init__(self) -> None:
        self._last: Place = (0, -1)

    def place(self, moment: str) -> Place:
        """Of the next line."""
        now = nanoseconds(moment)
        time, number = self._last
        self._last = (now, 0) if now is not None and now > time else (time, number + 1)
        return self._last


def identity_of(who: Principal, impersonate: bool) -> Hashable:
    """Who shares a connection to the cluster: all, unless the cluster itself decides about each of them."""
    return (who.tenant, who.subject, who.groups) if impersonate else ()


@dataclass
class Stream(Generic[K, T]):
    """What somebody follows. `token` says at each moment where they, or any other replica, would go on."""

    cluster: Cluster
    following: Following[K, T]
    look: Look
    seal: Callable[[Mapping[K, Place]], str]
    tail: int | None = None
    """Of what was there before, so many items in all; None: everything since the token."""
    keep: Callable[[T], bool] = field(default=lambda item: True)

    @property
    def token(self) -> str:
        return self.seal(self.following.places)

    async def batches(self) -> AsyncGenerator[list[T], None]:
        """Items as they come; an empty list every few seconds. See Following.batches."""
        async for batch in self.following.batches(self.look, self.tail):
            yield [item for item in batch if self.keep(item)]
