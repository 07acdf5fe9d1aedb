"""Writes Zendesk's search language so that nothing a caller gives can become a part of it.

Zendesk Support search reference: values in double quotes are literal, but cannot hold a double quote.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from common.errors import InvalidInput
from support_hub.ports import TicketQuery
from support_hub.records import Status

STATUSES: dict[Status, tuple[str, ...]] = {
    "new": ("new",),
    "open": ("open",),
    "pending": ("pending", "hold"),
    "solved": ("solved",),
    "closed": ("closed",),
}


def quoted(value: str) -> str:
    """A literal; what could end it becomes a space."""
    return '"' + " ".join(value.replace('"', " ").replace("\\", " ").split()) + '"'


def value(given: str) -> str:
    """A literal of a property. Raises InvalidInput for an empty one, which would restrict nothing."""
    if (literal := quoted(given)) == '""':
        raise InvalidInput("This value cannot be searched for.", "Give one with letters or digits.")
    return literal


def words(text: str) -> list[str]:
    """Each word as a literal, so that `-`, `:`, `*` and `type` mean nothing."""
    return [word for part in text.split() if (word := quoted(part)) != '""']


def timestamp(moment: datetime) -> str:
    """2026-10-20T08:00:00Z."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def people_query(conditions: Iterable[tuple[str, str]], text: str = "") -> str:
    """Users for whom one of the values of each property holds, and all words."""
    return " ".join(["type:user", "role:end-user", *(f"{name}:{value(v)}" for name, v in conditions), *words(text)])


def ticket_query(query: TicketQuery, until: datetime | None = None) -> str:
    """Tickets, those updated until a time if one is given."""
    terms = ["type:ticket", *words(query.text)]
    terms += [f"status:{value}" for status in sorted(query.statuses) for value in STATUSES[status]]
    terms += [f"priority:{priority}" for priority in sorted(query.priorities)]
    if query.requester:
        terms.append(f"requester:{value(query.requester)}")
    if query.created_since:
        terms.append(f"created>={timestamp(query.created_since)}")
    if query.updated_since:
        terms.append(f"updated>={timestamp(query.updated_since)}")
    if until:
        terms.append(f"updated<={timestamp(until)}")
    return " ".join(terms)
