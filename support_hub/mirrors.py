"""Tickets that two platforms keep copies of are shown once."""

from collections.abc import Iterable
from dataclasses import dataclass

from support_hub.records import Reference, Ticket


@dataclass(frozen=True)
class Shown:
    """A ticket, and where its copies are."""

    ticket: Ticket
    copies: tuple[Reference, ...] = ()


def without_copies(tickets: Iterable[Ticket]) -> list[Shown]:
    """In the given order, each conversation once: where it stands first."""
    shown: list[Shown] = []
    place: dict[Reference, int] = {}
    for ticket in tickets:
        names = {ticket.reference} | ({ticket.mirror_of} if ticket.mirror_of else set())
        at = next((place[name] for name in names if name in place), None)
        if at is None:
            at = len(shown)
            shown.append(Shown(ticket, tuple(sorted(names - {ticket.reference}, key=str))))
        place |= dict.fromkeys(names, at)
    return shown
