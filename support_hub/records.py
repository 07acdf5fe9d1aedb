"""What the sources know, in one shape. Each record says where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

Status = Literal["new", "open", "pending", "solved", "closed"]
Priority = Literal["low", "normal", "high", "urgent"]
FIELDS = ("name", "email", "phone", "company", "title", "city", "country")
"""Of a person, those that sources can disagree about."""


@dataclass(frozen=True)
class Reference:
    """A record of a source, as `zendesk:123`."""

    source: str
    id: str

    def __str__(self) -> str:
        return f"{self.source}:{self.id}"


@dataclass(frozen=True)
class Person:
    """How one source knows a customer. Empty fields are left out of `fields`."""

    reference: Reference
    fields: Mapping[str, str]
    emails: frozenset[str]
    """All of them, in lower case."""
    phones: frozenset[str]
    """All of them, in international form (E.164)."""
    updated_at: datetime
    url: str | None = None


@dataclass(frozen=True)
class Ticket:
    """A ticket or case, without its conversation."""

    reference: Reference
    subject: str
    status: Status
    priority: Priority
    created_at: datetime
    updated_at: datetime
    excerpt: str = ""
    requester: str = ""
    """E-mail address, in lower case, if the source says it."""
    mirror_of: Reference | None = None
    """The same conversation in another platform, if the source says so."""
    url: str | None = None


@dataclass(frozen=True)
class Comment:
    """One message of a conversation. `author` is empty if the source does not say who."""

    at: datetime
    author: str
    text: str
    public: bool


@dataclass(frozen=True)
class Conversation:
    """A ticket with its messages, oldest first."""

    ticket: Ticket
    description: str
    comments: tuple[Comment, ...] = ()
    truncated: bool = False
    """There are older messages."""


@dataclass(frozen=True)
class OrderLine:
    """`unit_price` is that of one piece, after discount."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal
    delivered: int


@dataclass(frozen=True)
class Order:
    """What somebody bought."""

    number: str
    email: str
    company: str
    placed_at: datetime
    status: str
    currency: str
    total: Decimal
    lines: tuple[OrderLine, ...]
    dispatched_at: datetime | None = None


@dataclass(frozen=True)
class Product:
    """An article of the catalogue."""

    sku: str
    name: str
    family: str
    category: str
    description: str
    prices: Mapping[str, Decimal]
    """By currency, without tax."""
    delivery: str
    warranty_months: int
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """What the hub itself keeps about a customer: preferences and notes of the support team."""

    email: str
    language: str = ""
    tier: str = ""
    preferences: Mapping[str, object] = field(default_factory=dict)
