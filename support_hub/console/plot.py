"""The timeline as a drawing: a lane for each source, tickets from creation to last change, orders until dispatch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from common.console.page import HOME
from support_hub.answers import clean
from support_hub.customer import Customer
from support_hub.mirrors import without_copies

WIDTH, LEFT, RIGHT, TOP, FOOT = 1040, 96, 16, 8, 24
ROW, BAR, DOT = 16, 8, 5
MOST_ROWS = 8
"""Of one lane; what overlaps more than that is drawn over each other."""
STEPS = [timedelta(days=days) for days in (1, 2, 7, 14)]
MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
TICKS = 8
SHORT = 80
OPEN_STATES = frozenset({"new", "open", "pending", "back_order"})


@dataclass(frozen=True)
class Mark:
    """Something with a beginning and an end."""

    lane: str
    start: datetime
    end: datetime
    is_open: bool
    title: str
    link: str | None


@dataclass(frozen=True)
class Bar:
    """A mark where it is drawn."""

    mark: Mark
    x: float
    width: float
    y: float


@dataclass(frozen=True)
class Lane:
    """A source's part of the drawing."""

    name: str
    y: float
    height: float
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Plot:
    """The whole drawing."""

    width: int
    height: float
    left: int
    lanes: Sequence[Lane]
    ticks: Sequence[tuple[float, str]]
    now: float


def plot(customer: Customer, now: datetime) -> Plot | None:
    """None if nothing has happened."""
    marks = list(_marks(customer))
    if not marks:
        return None
    first = min(mark.start for mark in marks)
    last = max(now, *(mark.end for mark in marks))
    span = max((last - first).total_seconds(), 3600.0)

    def at(moment: datetime) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (moment - first).total_seconds() / span, 1)

    lanes, y = [], float(TOP)
    for name in dict.fromkeys(mark.lane for mark in sorted(marks, key=lambda each: (each.lane == "orders", each.lane))):
        lane = _lane(name, y, sorted((m for m in marks if m.lane == name), key=lambda m: m.start), at)
        lanes.append(lane)
        y += lane.height
    ticks = [(at(moment), label) for moment, label in _ticks(first, last)]
    return Plot(WIDTH, y + FOOT, LEFT, lanes, ticks, at(now))


def _marks(customer: Customer) -> Iterator[Mark]:
    for shown in without_copies(customer.tickets):
        ticket = shown.ticket
        name = str(ticket.reference)
        title = (
            f"{clean(ticket.subject, SHORT)} ({name}, {ticket.status}), {_days(ticket.created_at, ticket.updated_at)}"
        )
        link = f"{HOME}/tickets/{quote(name, safe=':')}"
        is_open = ticket.status in OPEN_STATES
        yield Mark(ticket.reference.source, ticket.created_at, ticket.updated_at, is_open, title, link)
    for order in customer.orders:
        end = order.dispatched_at or order.placed_at
        title = f"{order.number}: {order.total:,} {order.currency}, {order.status}, {_days(order.placed_at, end)}"
        yield Mark("orders", order.placed_at, end, order.status in OPEN_STATES, title, None)


def _days(start: datetime, end: datetime) -> str:
    first, last = f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}"
    return first if first == last else f"{first} to {last}"


def _lane(name: str, y: float, marks: Iterable[Mark], at: Callable[[datetime], float]) -> Lane:
    """Bars in as few rows as they need so that none covers another."""
    ends: list[float] = []
    bars = []
    for mark in marks:
        x, right = at(mark.start), max(at(mark.end), at(mark.start) + 2 * DOT)
        row = next((number for number, end in enumerate(ends) if end + 3 < x), len(ends))
        row = min(row, MOST_ROWS - 1)
        ends[row : row + 1] = [max(right, ends[row])] if row < len(ends) else [right]
        bars.append(Bar(mark, x, round(right - x, 1), y + row * ROW + (ROW - BAR) / 2 + 4))
    return Lane(name, y, len(ends) * ROW + 8, bars)


def _ticks(first: datetime, last: datetime) -> Iterator[tuple[datetime, str]]:
    """About `TICKS` moments at the beginning of days or months."""
    step = next((step for step in STEPS if (last - first) / step <= TICKS), None)
    if step is not None:
        moment = datetime(first.year, first.month, first.day, tzinfo=UTC) + step
        while moment <= last:
            yield moment, f"{moment.day} {moment:%b}"
            moment += step
        return
    months = (last.year - first.year) * 12 + last.month - first.month
    every = next((each for each in MONTHS if months / each <= TICKS), MONTHS[-1])
    number = (first.year * 12 + first.month - 1) // every * every + every
    while number <= last.year * 12 + last.month - 1:
        moment = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        yield moment, f"{moment:%Y}" if number % 12 == 0 else f"{moment:%b}"
        number += every
