"""Pages of tickets, last updated first, out of answers whose order among the same moment is the platform's own."""

from collections.abc import Sequence

from support_hub.ports import Page, Place
from support_hub.records import Ticket

FIRST_LOOK = 30
MOST = 1000
"""Tickets that are looked at for one page; more of them within one moment are not told apart."""


def cut(found: Sequence[Ticket], place: Place, limit: int, is_all: bool) -> Page[Ticket] | None:
    """The page behind a place; None if more must be fetched first."""
    rest = sorted(
        (ticket for ticket in found if place.comes_before(ticket)),
        key=lambda ticket: (ticket.updated_at, ticket.reference.id),
        reverse=True,
    )
    is_settled = len(rest) > limit and rest[-1].updated_at < rest[limit].updated_at
    if not is_all and not is_settled:
        return None
    return Page(rest[:limit], "more" if len(rest) > limit else None)
