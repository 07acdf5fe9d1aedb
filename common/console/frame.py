"""What a vertical adds around each page: notices above the content, and numbers in the navigation."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from common.security.principal import Principal


@dataclass(frozen=True)
class Notice:
    """Something that everybody must see who looks at any page, with the page that tells more."""

    title: str
    text: str
    address: str


@dataclass(frozen=True)
class Frame:
    """For one person, now."""

    notices: Sequence[Notice] = ()
    badges: Mapping[str, int] = field(default_factory=dict)
    """Address of a page -> how much waits there for this person."""


FrameOf = Callable[[Principal], Awaitable[Frame]]


async def no_frame(_: Principal) -> Frame:
    """For a vertical that adds nothing."""
    return Frame()
