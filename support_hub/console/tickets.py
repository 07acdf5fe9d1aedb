"""Tickets and cases of all platforms in one list."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast, get_args
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

from common.console.page import HOME, Page, Visit
from common.errors import InvalidInput
from support_hub.arguments import Paging
from support_hub.contact import read_email
from support_hub.ports import TicketQuery
from support_hub.records import Priority, Status
from support_hub.search import TicketSearch
from support_hub.ticket_answers import ticket_list

ADDRESS = f"{HOME}/tickets"
PAGE = 20
LONGEST = 200
SORTS = {"newest": "Last updated first", "relevance": "Best match first"}


@dataclass(frozen=True)
class Asked:
    """The form as it was sent."""

    q: str = ""
    status: str = ""
    priority: str = ""
    requester: str = ""
    since: str = ""
    sort: str = "newest"

    def query(self) -> TicketQuery:
        """Raises InvalidInput."""
        if self.sort not in SORTS:
            raise InvalidInput("There is no such order.", f"Choose one of {', '.join(SORTS)}.")
        return TicketQuery(
            text=self.q,
            by_relevance=self.sort == "relevance" and bool(self.q.split()),
            statuses=frozenset(_one_of(self.status, get_args(Status))),
            priorities=frozenset(_one_of(self.priority, get_args(Priority))),
            requester=read_email(self.requester) if self.requester else "",
            updated_since=_day(self.since),
        )


def tickets_page(search: TicketSearch) -> Page:
    """The page. Without a question: the newest of all platforms."""

    async def tickets(visit: Visit) -> Response:
        query = visit.request.query_params
        asked = _asked(query)
        values: dict[str, Any] = {
            "address": ADDRESS,
            "asked": asked,
            "statuses": get_args(Status),
            "priorities": get_args(Priority),
            "sorts": SORTS,
            "home": HOME,
            "found": None,
            "problem": "",
            "next": None,
            "first": None,
        }
        paging = Paging(visit.principal, "tickets-page", *vars(asked).values())
        try:
            found = await search.search(asked.query(), PAGE, paging.open(query.get("cursor"), list))
        except InvalidInput as error:
            return visit.render("tickets.html", 400, **values | {"problem": str(error)})
        cursor = paging.seal(found.position)
        values |= {"found": ticket_list(found, cursor), "next": _link(asked, cursor) if cursor else None}
        return visit.render("tickets.html", **values | {"first": _link(asked) if "cursor" in query else None})

    return Page("/tickets", "Tickets", "console:tickets", tickets, order=11, recorded=True)


def _asked(query: QueryParams | Mapping[str, str]) -> Asked:
    return Asked(**{name: query[name].strip()[:LONGEST] for name in vars(Asked()) if query.get(name, "").strip()})


def _link(asked: Asked, cursor: str | None = None) -> str:
    values = {name: value for name, value in vars(asked).items() if value}
    return f"{ADDRESS}?{urlencode(values | ({'cursor': cursor} if cursor else {}))}"


def _one_of(value: str, known: tuple[str, ...]) -> list[Any]:
    if value and value not in known:
        raise InvalidInput(f"There is no {value[:40]}.", f"Choose one of {', '.join(known)}.")
    return [cast(Any, value)] if value else []


def _day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput("That is no day.", "Write it as 2026-06-30.") from None
