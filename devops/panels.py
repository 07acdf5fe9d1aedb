"""Parts of a page that may fail alone, and how far back in time it looks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.console.page import Visit
from common.errors import AppError, NotFound

MINUTES = (60, 360, 1440, 10_080)


@dataclass(frozen=True)
class Panel:
    """A part of a page, or why it is not there."""

    answer: Any = None
    failed: str = ""
    hint: str = ""


async def panel(visit: Visit, tool: str, ask: Callable[[], Awaitable[Any]]) -> Panel:
    """What the tool would answer, or why it does not."""
    try:
        check_tool(visit, tool)
        return Panel(await ask())
    except AppError as error:
        return Panel(failed=error.message, hint=error.hint)


def check_tool(visit: Visit, tool: str) -> None:
    """A page shows what a tool shows, to those who may use it. Raises NotFound."""
    if not visit.runtime.policy.allows(visit.principal, tool):
        raise NotFound("Your roles do not let you see this.", f"It is what the tool {tool} answers.")


def chosen(asked: Mapping[str, str], name: str, offered: Sequence[int]) -> int:
    """One of those offered; what is none of them is the first."""
    given = asked.get(name, "")
    return int(given) if given.isascii() and given.isdecimal() and int(given) in offered else offered[0]


def spans() -> list[tuple[int, str]]:
    """How far back somebody can look."""
    return [(minutes, span(minutes)) for minutes in MINUTES]


def span(minutes: int) -> str:
    """1 hour, 6 hours, 1 day, 7 days"""
    number, unit = (minutes // 1440, "day") if minutes >= 1440 else (minutes // 60, "hour")
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def show_bytes(value: float) -> str:
    """512 KiB, 12 MiB, 1.5 GiB"""
    for size, unit in ((2**30, "GiB"), (2**20, "MiB")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1024:.3g} KiB"
