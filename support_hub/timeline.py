"""What happened with a customer, newest first, from all sources."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from support_hub.customer import Customer
from support_hub.mirrors import without_copies

What = Literal["ticket_created", "ticket_updated", "order_placed", "order_dispatched"]
Key = tuple[str, str]


@dataclass(frozen=True)
class Event:
    """Something that happened at a time, to a ticket or an order."""

    at: datetime
    what: What
    about: str
    """`zendesk:123`, or `orders:` and the number."""
    text: str
    status: str

    @property
    def key(self) -> Key:
        """Its place in the timeline."""
        return self.at.isoformat(), f"{self.about}/{self.what}"


def timeline(customer: Customer) -> list[Event]:
    """All of it, newest first."""
    return sorted(_events(customer), key=lambda event: event.key, reverse=True)


def page(events: list[Event], limit: int, after: Key | None) -> tuple[list[Event], Key | None]:
    """The events behind a key, and the key of the last one if there are more."""
    rest = [event for event in events if after is None or event.key < after]
    return rest[:limit], rest[limit - 1].key if len(rest) > limit else None


def _events(customer: Customer) -> Iterable[Event]:
    for shown in without_copies(customer.tickets):
        ticket, about = shown.ticket, str(shown.ticket.reference)
        yield Event(ticket.created_at, "ticket_created", about, ticket.subject, ticket.status)
        if ticket.updated_at > ticket.created_at:
            yield Event(ticket.updated_at, "ticket_updated", about, ticket.subject, ticket.status)
    for order in customer.orders:
        text = f"{order.number}: {len(order.lines)} articles, {order.total} {order.currency}"
        yield Event(order.placed_at, "order_placed", f"orders:{order.number}", text, order.status)
        if order.dispatched_at:
            yield Event(order.dispatched_at, "order_dispatched", f"orders:{order.number}", text, order.status)
