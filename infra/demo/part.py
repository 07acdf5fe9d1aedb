"""What a server brings to demo, seed data and safety tour, so that the demo itself knows none of them."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.settings import CommonSettings
from common.tour import Narrator, Stage
from common.vertical import Vertical
from infra.demo.servers import RunningServer

Call = tuple[str, Mapping[str, Any]]
"""A tool and its arguments."""


@dataclass(frozen=True)
class Safety:
    """With which people and tools this server's safety features are shown."""

    writer: str
    reader: str
    hidden: str
    """A tool that the writer has and the reader has not."""
    read: Call
    """What the reader may ask, in both protocol eras."""
    answered: Callable[[Mapping[str, Any]], object]
    """What of the answer must be the same in both."""
    wrong: tuple[str, Mapping[str, Any], str, str]
    """A tool, arguments, and the name and wrong value of one more."""
    audited: str
    """What the writer did in this server's tour, as the audit log names it."""


@contextmanager
def nothing_beside(folder: Path) -> Iterator[Mapping[str, str]]:
    """For a server that needs no other process."""
    yield {}


async def nothing(settings: CommonSettings) -> str:
    """For a server that has no seed data."""
    return ""


async def no_wait(settings: CommonSettings, within: float) -> None:
    """For seed data that is there as soon as it is handed in."""


@dataclass(frozen=True)
class Part:
    """Of a vertical. `settings` are those of the demo company."""

    person: str
    """With whose key the demo's last lines connect Claude."""
    safety: Safety
    settings: Mapping[str, str] = field(default_factory=dict)
    beside: Callable[[Path], AbstractContextManager[Mapping[str, str]]] = nothing_beside
    """What runs beside the server, in which data folder, and the settings that follow."""
    hand_in: Callable[[CommonSettings], Awaitable[str]] = nothing
    """Hands seed data to backends that servers use at the same time; says what it was. Safe to repeat."""
    wait: Callable[[CommonSettings, float], Awaitable[None]] = no_wait
    """Until servers have worked on it. Raises RuntimeError after so many seconds."""
    load: Callable[[CommonSettings], Awaitable[object]] = nothing
    """Loads seed data without a server, for `triptych seed`. Safe to repeat."""


@dataclass(frozen=True)
class Front:
    """Of what stands in front of the verticals."""

    person: str
    settings: Callable[[Sequence[Vertical], Sequence[RunningServer]], Mapping[str, str]]
    tell: Callable[[Narrator, Stage, list[RunningServer]], Awaitable[None]]
