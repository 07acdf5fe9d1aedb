"""One search over all platforms' tickets: one ranking, one cursor, copies shown once, partial when one is down."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from common.errors import InvalidInput
from support_hub.fanout import Arrived, Read, ask_all
from support_hub.mirrors import Shown
from support_hub.ports import START, Crm, Page, Place, TicketQuery
from support_hub.records import Reference, Ticket

Position = list[Any]
"""JSON: [{source: [time, id, skip]}, [sources that are at their end], the marks of copies of what was shown]."""
MARK = 8
MOST_COPIES = 1000
"""That are remembered: a cursor has to stay short. Of more, the first ones may be shown, too."""


@dataclass(frozen=True)
class Found:
    """A page over all platforms."""

    shown: list[Shown]
    position: Position | None
    sources: Mapping[str, Arrived[Page[Ticket]]]


@dataclass
class Progress:
    """How far each platform was read."""

    places: dict[str, Place] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    copies: dict[str, None] = field(default_factory=dict)
    """Marks of those of tickets that were shown, in that order: they are passed over when they come."""

    def sealed(self) -> Position:
        """As JSON."""
        places = {
            name: [place.updated_at.isoformat() if place.updated_at else None, place.id, place.skip]
            for name, place in self.places.items()
        }
        return [places, sorted(self.ended), "".join([*self.copies][-MOST_COPIES:])]


def read_progress(position: Position | None) -> Progress:
    """Raises InvalidInput if this is no position."""
    if position is None:
        return Progress()
    try:
        places, ended, copies = position
        read = {
            str(name): Place(datetime.fromisoformat(at) if at else None, str(id_), max(0, int(skip)))
            for name, (at, id_, skip) in places.items()
        }
        marks = [copies[at : at + MARK] for at in range(0, len(copies), MARK)]
        return Progress(read, set(map(str, ended)), dict.fromkeys(map(str, marks)))
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput("The cursor does not fit this call.", "Call without a cursor to begin anew.") from None


class TicketSearch:
    """Asks all platforms at once and merges what arrives in time."""

    def __init__(self, crms: Sequence[Crm], seconds: float) -> None:
        self._crms = {crm.name: crm for crm in crms}
        self._seconds = seconds

    async def search(self, query: TicketQuery, limit: int, position: Position | None = None) -> Found:
        """The next page. A platform that does not answer keeps its place, and is asked again by the next call."""
        progress = read_progress(position)
        asked = {
            name: partial(self._ask, crm, query, limit, progress.places.get(name, START))
            for name, crm in self._crms.items()
            if name not in progress.ended
        }
        answers = await ask_all(asked, self._seconds)
        pages = {name: answer.value for name, answer in answers.items() if answer.value is not None}
        shown = _merge(pages, query.by_relevance, limit, progress)
        is_over = progress.ended >= self._crms.keys()
        # Who pages to the end must get there, also while a platform stays away.
        is_stuck = not shown and not (pages.keys() - progress.ended)
        return Found(shown, None if is_over or is_stuck else progress.sealed(), answers)

    async def _ask(self, crm: Crm, query: TicketQuery, limit: int, place: Place) -> Read[Page[Ticket]]:
        return Read(await crm.search_tickets(query, limit, place), _now())


def _now() -> float:
    return datetime.now().timestamp()


def _merge(pages: Mapping[str, Page[Ticket]], by_relevance: bool, limit: int, progress: Progress) -> list[Shown]:
    """The best of all pages in order, and how far each was read for it."""
    read = dict.fromkeys(pages, 0)
    start = {name: progress.places.get(name, START).skip for name in pages}
    shown: list[Shown] = []
    while len(shown) < limit:
        heads = {name: page.items[read[name]] for name, page in pages.items() if read[name] < len(page.items)}
        # What would follow on a page that is read up is not known: nothing may overtake it.
        if not heads or any(read[name] == len(page.items) and page.next for name, page in pages.items()):
            break
        if by_relevance:
            # Reciprocal rank fusion (Cormack et al., SIGIR 2009) of lists that share nothing: by rank.
            name = min(heads, key=lambda each: (start[each] + read[each], each))
        else:
            name = max(heads, key=lambda each: (heads[each].updated_at, each))
        ticket = heads[name]
        read[name] += 1
        behind = Place(skip=start[name] + read[name]) if by_relevance else Place(ticket.updated_at, ticket.reference.id)
        progress.places[name] = behind
        _show(ticket, shown, progress)
    progress.ended |= {name for name, page in pages.items() if read[name] == len(page.items) and not page.next}
    return shown


def _show(ticket: Ticket, shown: list[Shown], progress: Progress) -> None:
    mark = _mark(ticket.reference)
    if mark in progress.copies:
        del progress.copies[mark]
        return
    copies: tuple[Reference, ...] = ()
    if ticket.mirror_of is not None:
        progress.copies[_mark(ticket.mirror_of)] = None
        copies = (ticket.mirror_of,)
    shown.append(Shown(ticket, copies))


def _mark(reference: Reference) -> str:
    """48 bits: in a million tickets, the wrong one is passed over once in hundreds of thousands of searches."""
    return base64.urlsafe_b64encode(hashlib.sha256(str(reference).encode()).digest()[: MARK * 6 // 8]).decode()
