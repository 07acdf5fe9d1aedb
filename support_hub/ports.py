"""What the use cases need from the world; `adapters/` has one file for each real system."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar

from support_hub.records import (
    Comment,
    Conversation,
    Order,
    Person,
    Priority,
    Product,
    Profile,
    Reference,
    Status,
    Ticket,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of what there is, and how to ask the same source for more."""

    items: Sequence[T]
    next: str | None = None
    total: int | None = None
    """How many there are, if the source says so."""


@dataclass(frozen=True)
class Contact:
    """How a customer is looked for: one of them is set."""

    email: str = ""
    """In lower case."""
    phone: str = ""
    """In international form (E.164)."""
    reference: Reference | None = None


@dataclass(frozen=True)
class TicketQuery:
    """All that is set has to hold."""

    text: str = ""
    """All of these words."""
    by_relevance: bool = False
    """In the platform's own order for these words; else last updated first, ties by the greater id."""
    statuses: frozenset[Status] = frozenset()
    priorities: frozenset[Priority] = frozenset()
    requester: str = ""
    created_since: datetime | None = None
    updated_since: datetime | None = None


@dataclass(frozen=True)
class Place:
    """Where a page begins: behind this ticket, or by relevance behind so many."""

    updated_at: datetime | None = None
    id: str = ""
    skip: int = 0

    def comes_before(self, ticket: Ticket) -> bool:
        """Whether the ticket is still to be shown, last updated first."""
        return self.updated_at is None or (ticket.updated_at, ticket.reference.id) < (self.updated_at, self.id)


START = Place()


@dataclass(frozen=True)
class NewTicket:
    """A ticket to be made. `key` makes a repetition harmless."""

    key: str
    requester: str
    subject: str
    text: str
    priority: Priority = "normal"


@dataclass(frozen=True)
class TicketChange:
    """What is to be changed; None leaves it."""

    status: Status | None = None
    priority: Priority | None = None
    subject: str | None = None


class Crm(Protocol):
    """A CRM. Each call takes as long as the caller's deadline allows, and raises the errors of `common.errors`."""

    name: str
    """As in references and settings: `zendesk`."""
    title: str

    async def find_people(self, contact: Contact) -> list[Person]:
        """Everybody with this address or number; nobody is an empty list."""

    async def search_people(self, text: str, limit: int, after: str | None = None) -> Page[Person]:
        """People by words of their name, company or address."""

    async def tickets_of(self, people: Sequence[Person], limit: int) -> list[Ticket]:
        """Their newest tickets."""

    async def search_tickets(self, query: TicketQuery, limit: int, place: Place = START) -> Page[Ticket]:
        """Tickets from that place on; `next` is set if there are more."""

    async def conversation(self, ticket_id: str) -> Conversation:
        """A ticket with its messages. Raises NotFound."""

    async def create_ticket(self, new: NewTicket) -> Ticket:
        """Make it, once for each key."""

    async def add_comment(self, ticket_id: str, text: str, public: bool, seen: datetime) -> Comment:
        """Say something, unless the ticket was changed after `seen`. Raises NotFound, Conflict."""

    async def update_ticket(self, ticket_id: str, change: TicketChange, seen: datetime) -> Ticket:
        """Change it, unless it was changed after `seen`. Raises NotFound, Conflict."""

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Begun:
    """What is known of a write. `is_mine`: nobody else is at it; without `is_first` it may have been done before."""

    digest: str
    began_at: datetime
    is_first: bool
    is_mine: bool
    result: Mapping[str, Any] | None = None


class Writes(Protocol):
    """Remembers writes by name."""

    async def begin(self, name: str, digest: str, busy_until: datetime) -> Begun:
        """Begin it, or take it over from somebody who is past their time, or see what came of it."""

    async def finish(self, name: str, result: Mapping[str, Any]) -> None:
        """It is done."""

    async def release(self, name: str) -> None:
        """It is not known whether it is done: the next one looks first."""

    async def forget(self, name: str) -> None:
        """It was refused, so it may be tried again."""


@dataclass(frozen=True)
class Merge:
    """Two records that somebody said are one customer's, and what spoke for it."""

    id: str
    pair: tuple[str, str]
    """References, such as `zendesk:123`, in order."""
    by: str
    at: datetime
    evidence: tuple[str, ...]
    undone_by: str = ""


class MergeStore(Protocol):
    """Remembers merges."""

    async def add(self, merge: Merge) -> Merge:
        """Keep it. The same pair again is the merge that is there, in force once more if it was undone."""

    async def undo(self, merge_id: str, who: str, at: datetime) -> Merge:
        """It is in force no more. Raises NotFound."""

    async def of(self, records: Sequence[str]) -> list[Merge]:
        """Those in force that have one of these records."""


class Orders(Protocol):
    """Orders of all customers."""

    async def of(
        self, emails: Sequence[str], limit: int, before: tuple[datetime, str] | None = None, status: str | None = None
    ) -> list[Order]:
        """Orders under these addresses, newest first; `before` is time and number of the last one shown."""

    async def get(self, number: str) -> Order:
        """One order. Raises NotFound."""


class Catalogue(Protocol):
    """The products."""

    async def search(self, text: str, family: str | None, limit: int, offset: int) -> Page[Product]:
        """Best match first; without text by name."""

    async def get(self, sku: str) -> Product:
        """One product. Raises NotFound."""


class Profiles(Protocol):
    """What the hub keeps about customers."""

    async def open(self) -> None:
        """Make what it needs."""

    async def get(self, emails: Sequence[str]) -> Profile | None:
        """The profile of the first address that has one."""

    async def put(self, profiles: Iterable[Profile]) -> None:
        """Keep these, instead of what there was for their addresses; it is safe to repeat."""

    async def ping(self) -> None:
        """Raises if it does not answer."""

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Mark:
    """A colleague dealt with a customer."""

    who: str
    did: Literal["viewed", "wrote"]
    at: datetime


class Marks(Protocol):
    """Remembers for a day who dealt with whom. It may lose everything."""

    async def add(self, emails: Sequence[str], mark: Mark) -> None:
        """Note it for the customer with these addresses."""

    async def of(self, emails: Sequence[str]) -> list[Mark]:
        """For each colleague and deed the last one, newest first."""
