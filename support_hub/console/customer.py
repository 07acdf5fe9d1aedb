"""Everything about one customer on one page: who says what, who disagrees, and what has happened."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from starlette.responses import Response

from common.console.page import HOME, Page, Visit
from support_hub.answers import customer_360
from support_hub.console.plot import plot
from support_hub.contact import read_contact
from support_hub.customer import Customer, Customers
from support_hub.mirrors import without_copies


def customer_page(customers: Customers, region: str) -> Page:
    """The page, found by one of `email`, `phone` and `customer_id`."""

    async def customer(visit: Visit) -> Response:
        query = visit.request.query_params
        given = query.get("email"), query.get("phone"), query.get("customer_id")
        found = await customers.find(read_contact(*given, region))
        now = datetime.now(UTC)
        return visit.render(
            "customer.html",
            found=customer_360(found),
            asked=next(value for value in given if value is not None),
            missing=missing(found),
            tickets=len(without_copies(found.tickets)),
            orders=len(found.orders),
            ages={name: age(arrived.fetched_at, now) for name, arrived in found.sources.items()},
            records={name: _records(found, name) for name in found.sources},
            plot=plot(found, now),
            grouped=lambda total: f"{Decimal(total):,}",
            now=now.isoformat(),
            home=HOME,
        )

    return Page("/customer", "Customer", "console:customers", customer, in_nav=False, recorded=True)


def missing(customer: Customer) -> list[str]:
    """Sources whose part is not there."""
    return [name for name, each in customer.sources.items() if not each.answered]


def age(moment: float | None, now: datetime) -> str:
    """How long ago a source was read."""
    if not moment:
        return ""
    seconds = max(0, round(now.timestamp() - moment))
    if seconds < 2:
        return "just now"
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"


def _records(customer: Customer, source: str) -> list[tuple[str, str | None]]:
    """Its records of the customer, with their addresses in the platform."""
    found: Iterable[tuple[str, str | None]] = (
        (str(person.reference), person.url) for person in customer.people if person.reference.source == source
    )
    return sorted(found)
