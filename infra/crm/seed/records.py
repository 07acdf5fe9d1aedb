"""What the seed consists of. `World` is all of it; the platforms and the support hub's databases are filled from it."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

PlatformName = Literal["salesforce", "hubspot", "zendesk"]
Status = Literal["new", "open", "pending", "solved", "closed"]
Priority = Literal["low", "normal", "high", "urgent"]


@dataclass(frozen=True, slots=True)
class Company:
    """A customer of Fernhill Instruments."""

    key: str
    name: str
    domain: str
    industry: str
    country: str
    city: str
    former_name: str | None = None

    @property
    def number(self) -> int:
        """Its place in the list, from which each platform's id is made."""
        return int(self.key[1:])


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody is."""

    street: str
    postcode: str
    city: str
    country: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who works for a customer, as they are in truth. `awkward` names what the systems get wrong."""

    key: str
    first: str
    last: str
    email: str
    phone: str
    mobile: str
    title: str
    address: Address
    company: Company
    awkward: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """How one platform spells a person: the record id there and the fields it has."""

    platform: PlatformName
    record_id: str
    person: str
    company: Company
    company_name: str
    first: str
    last: str
    email: str
    phone: str
    mobile: str
    title: str
    address: Address
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class Comment:
    """A message below a ticket; `agent` is empty when the customer wrote it."""

    at: datetime
    text: str
    agent: str = ""
    public: bool = True


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket or case of one platform. `mirror` joins copies of one conversation that two platforms keep."""

    key: str
    platform: PlatformName
    record_id: str
    listing: Listing
    sku: str
    serial: str
    problem: str
    subject: str
    text: str
    status: Status
    priority: Priority
    created: datetime
    updated: datetime
    comments: tuple[Comment, ...]
    agent: str
    injection: bool = False
    mirror: str | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """An article of the catalogue; prices without tax, as in the price list of 2026."""

    sku: str
    name: str
    family: str
    category: str
    price_gbp: Decimal
    price_eur: Decimal
    price_cad: Decimal
    description: str
    delivery: str
    warranty_months: int
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Price is that of one piece after discount."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal
    delivered: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a person for their company."""

    number: str
    person: str
    company: str
    company_name: str
    email: str
    placed_at: datetime
    status: Literal["open", "back_order", "dispatched", "delivered", "returned", "cancelled"]
    currency: Literal["GBP", "EUR", "CAD"]
    lines: tuple[OrderLine, ...]
    freight: Decimal
    total: Decimal
    ship_to: Address
    dispatched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class World:
    """Everything, consistent with itself and with the documents of the demo company."""

    companies: tuple[Company, ...]
    people: tuple[Person, ...]
    listings: tuple[Listing, ...]
    tickets: tuple[Ticket, ...]
    products: tuple[Product, ...]
    orders: tuple[Order, ...]
