"""Values over time as a drawing that the server makes itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, log10
from typing import TypeAlias

WIDTH, HEIGHT = 360, 132
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 8, 20
"""Room for labels, in pixels."""
MOST_LINES = 6
"""As many colours as there are; of more lines those with the highest values are drawn."""
GAP = 3.5
"""Longer than so many steps without a value, a line is interrupted."""
Points: TypeAlias = Sequence[tuple[float, float]]
"""(seconds since 1970, value), oldest first"""


@dataclass(frozen=True)
class Line:
    """One line of a drawing, as the path of an SVG."""

    label: str
    path: str
    last: str


@dataclass(frozen=True)
class Chart:
    """A drawing with its scales. Without lines there is nothing to see."""

    title: str
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]
    """Heights of the scale, from below."""
    times: Sequence[tuple[float, str]]
    text: str
    """For those who do not see it."""
    hidden: int = 0
    """Lines that found no room."""


def plain(value: float) -> str:
    """0, 0.25, 12, 1,234, 5.2 million"""
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:.3g} million"
    if value == floor(value):
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:,.1f}"


def chart(
    title: str,
    series: Sequence[tuple[str, Points]],
    start: float,
    end: float,
    shown: Callable[[float], str] = plain,
    step_up: Callable[[float], float] | None = None,
) -> Chart:
    """The drawing of several lines between two moments. `step_up` gives the top of the scale for the highest value."""
    filled = [(label, points) for label, points in series if points]
    filled.sort(key=lambda each: -max(value for _, value in each[1]))
    drawn = filled[:MOST_LINES]
    highest = max((value for _, points in drawn for _, value in points), default=0.0)
    top = (step_up or round_up)(highest)
    lines = [Line(label, _path(points, start, end, top), shown(points[-1][1])) for label, points in drawn]
    lows = [min(value for _, value in points) for _, points in drawn]
    said = "; ".join(
        f"{line.label}: {shown(low)} to {shown(max(value for _, value in points))}, now {line.last}"
        for line, low, (_, points) in zip(lines, lows, drawn, strict=True)
    )
    return Chart(
        title=title,
        lines=lines,
        ticks=[(_y(share * top, top), shown(share * top)) for share in (0.0, 0.5, 1.0)],
        times=[(_x(at, start, end), _clock(at, end - start)) for at in (start, (start + end) / 2, end)],
        text=f"{title}. {said or 'no values'}",
        hidden=len(filled) - len(drawn),
    )


def round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** floor(log10(value))
    return next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= value * 0.999)


def binary_up(value: float) -> float:
    """The same for bytes: of 1, 2, 5, ... KiB, MiB, GiB."""
    unit = 1.0
    while value >= unit * 1024:
        unit *= 1024
    return round_up(value / unit) * unit


def _path(points: Points, start: float, end: float, top: float) -> str:
    inside = [(at, value) for at, value in points if start <= at <= end]
    steps = sorted(later[0] - earlier[0] for earlier, later in zip(inside, inside[1:], strict=False))
    longest = GAP * steps[len(steps) // 2] if steps else 0.0
    parts: list[str] = []
    before: float | None = None
    for at, value in inside:
        is_new = before is None or at - before > longest
        parts.append(f"{'M' if is_new else 'L'}{_x(at, start, end)} {_y(value, top)}")
        # A value between two gaps is a dot.
        if is_new:
            parts.append("h0")
        before = at
    return "".join(parts)


def _x(at: float, start: float, end: float) -> float:
    share = (at - start) / max(1.0, end - start)
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(value: float, top: float) -> float:
    share = min(max(value / top, 0.0), 1.0)
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _clock(at: float, span: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d %b" if span > 3 * 86_400 else "%H:%M")
