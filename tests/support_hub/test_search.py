"""A search over platforms that keep copies of each other's tickets, one of which stays away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter

from common.errors import InvalidInput, Unavailable
from support_hub import arguments as arg
from support_hub.ports import START, Page, Place, TicketQuery
from support_hub.records import Reference, Ticket
from support_hub.search import MOST_COPIES, Position, TicketSearch
from tests.support.hub import person

START_OF_2026 = datetime(2026, 1, 1, tzinfo=UTC)
PAGING = arg.Paging(person(), "tickets", "")
CURSOR: TypeAdapter[str | None] = TypeAdapter(arg.Cursor)


@dataclass
class Listed:
    """The search of a CRM over these tickets."""

    name: str
    tickets: Sequence[Ticket]
    is_away: bool = False

    async def search_tickets(self, query: TicketQuery, limit: int, place: Place = START) -> Page[Ticket]:
        if self.is_away:
            raise Unavailable("It is away.")
        rest = [each for each in self.tickets if place.comes_before(each)]
        return Page(rest[:limit], "more" if len(rest) > limit else None)


def case(number: int) -> Reference:
    return Reference("salesforce", f"500{number:012}AAA")


def mirrored(count: int) -> tuple[Listed, Listed]:
    """Conversations that Zendesk and Salesforce both keep, the newest first."""

    def ticket(reference: Reference, number: int, mirror_of: Reference | None) -> Ticket:
        at = START_OF_2026 + timedelta(minutes=number)
        return Ticket(reference, "Logger lost", "open", "normal", at, at, mirror_of=mirror_of)

    numbers = range(count, 0, -1)
    zendesk = [ticket(Reference("zendesk", f"{number:09}"), number, case(number)) for number in numbers]
    return Listed("zendesk", zendesk), Listed("salesforce", [ticket(case(number), number, None) for number in numbers])


async def pages(search: TicketSearch, limit: int, position: Position | None = None) -> tuple[list[str], str | None]:
    """The ids of what is shown until a platform that stays away holds it up, and the last cursor that was given."""
    shown, last = list[str](), None
    while True:
        found = await search.search(TicketQuery(), limit, position)
        shown += [str(each.ticket.reference) for each in found.shown]
        cursor = CURSOR.validate_python(PAGING.seal(found.position))
        if cursor is None:
            return shown, last
        last, position = cursor, PAGING.open(cursor, list)


@pytest.mark.parametrize("count", [300, MOST_COPIES + 50])
async def test_every_cursor_fits_while_the_copies_stay_away(count: int) -> None:
    zendesk, salesforce = mirrored(count)
    salesforce.is_away = True
    search = TicketSearch([zendesk, salesforce], seconds=10)  # type: ignore[list-item]
    shown, cursor = await pages(search, 50)
    assert len(shown) == len(set(shown)) == count
    salesforce.is_away = False
    late, _ = await pages(search, 50, PAGING.open(cursor, list))
    assert late == [str(case(count - number)) for number in range(count - MOST_COPIES)]


async def test_copies_are_shown_once_in_any_order() -> None:
    zendesk, salesforce = mirrored(30)
    shown, _ = await pages(TicketSearch([zendesk, salesforce], seconds=10), 7)  # type: ignore[list-item]
    assert len(shown) == 30 and all(name.startswith("zendesk") for name in shown)


@pytest.mark.parametrize("position", [[], [{}, [], 1], [{"zendesk": 1}, [], ""], [{}, [], None]])
async def test_what_is_no_position_is_refused(position: Position) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        await TicketSearch([], seconds=1).search(TicketQuery(), 5, position)
