import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from common.cache.cache import Cache
from common.databases import create_engine, sqlite_url
from common.databases.replicas import Replicated
from common.errors import Denied, NotFound, Unavailable
from support_hub.adapters.sql_orders import SqlOrders
from support_hub.adapters.sql_store import SqlStore
from support_hub.customer import Customers, View
from support_hub.fanout import Read, State
from support_hub.ports import Contact
from support_hub.records import Order, OrderLine, Person, Reference
from support_hub.sources import CachedSource, OrdersSource
from tests.support_hub.adapters.conftest import KEYS, opened

EARLY = datetime(2026, 1, 1, tzinfo=UTC)


def person(source: str, *emails: str) -> Person:
    return Person(Reference(source, "1"), {"name": "Ada"}, frozenset(emails), frozenset(), EARLY)


@dataclass
class Scripted:
    """A source that knows people by address, or fails."""

    name: str
    known: dict[str, View] = field(default_factory=dict)
    error: Exception | None = None
    wait: float = 0.0
    stale: bool = False
    asked: list[str] = field(default_factory=list)

    async def view(self, contact: Contact) -> Read[View]:
        self.asked.append(contact.email)
        await asyncio.sleep(self.wait)
        if self.error:
            raise self.error
        return Read(self.known.get(contact.email, View()), 1.0, self.stale)


def customers(*sources: Any) -> Customers:
    return Customers(sources, {}, seconds=0.2)


@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        ({"wait": 5.0}, "timeout"),
        ({"error": Unavailable("down")}, "error"),
        ({"error": NotFound("nobody")}, "not_found"),
        ({"error": Denied("no")}, "forbidden"),
        ({"error": ZeroDivisionError()}, "error"),
        ({"stale": True, "known": {"a@x": View((person("hubspot", "a@x"),))}}, "stale"),
    ],
)
async def test_one_source_in_trouble_leaves_the_others(trouble: dict[str, Any], state: State) -> None:
    well = Scripted("zendesk", {"a@x": View((person("zendesk", "a@x"),))})
    customer = await customers(well, Scripted("hubspot", **trouble)).get(Contact(email="a@x"))
    assert customer.sources["zendesk"].state == "ok"
    assert customer.sources["hubspot"].state == state
    assert customer.complete is (state in ("not_found", "stale"))
    assert "zendesk:1" in {str(each.reference) for each in customer.people}


async def test_an_answer_with_a_part_of_what_there_is_is_not_complete() -> None:
    cut = Scripted("zendesk", {"a@x": View((person("zendesk", "a@x", "ada@y"),), truncated=True)})
    customer = await customers(cut, Scripted("hubspot")).get(Contact(email="a@x"))
    assert customer.sources["zendesk"].state == "ok" and "more than is shown" in customer.sources["zendesk"].note
    assert not customer.complete


@pytest.mark.parametrize(("count", "complete"), [(100, True), (101, False)])
async def test_as_many_orders_as_are_shown_are_all(tmp_path: Path, count: int, complete: bool) -> None:
    line = OrderLine("TL2-868-T4", "Logger", 1, Decimal(1), 0)
    made = [
        Order(f"SO-{n}", "a@x", "X", EARLY + timedelta(hours=n), "open", "GBP", Decimal(1), (line,))
        for n in range(count)
    ]
    async with opened(Replicated(create_engine(sqlite_url(tmp_path / "support.db")))) as database:
        await SqlStore(database, KEYS).import_all(made, [])
        source = OrdersSource(SqlOrders(database, KEYS), CachedSource("orders", Cache(), 60, 600, 10))
        customer = await Customers([source], {}, seconds=10).get(Contact(email="a@x"))
    assert customer.complete is complete and len(customer.orders) == 100
    assert customer.orders[0].number == f"SO-{count - 1}"


@dataclass
class Broken:
    """A look-up of merges that fails, or takes too long."""

    wait: float

    async def linked(self, references: Iterable[Reference]) -> Read[list[Reference]]:
        await asyncio.sleep(self.wait)
        raise Unavailable("The database does not answer.")


@pytest.mark.parametrize(("wait", "state"), [(0.0, "error"), (60.0, "timeout")])
async def test_merges_that_cannot_be_looked_up_are_named(wait: float, state: State) -> None:
    well = Scripted("zendesk", {"a@x": View((person("zendesk", "a@x"),))})
    customer = await Customers([well], {}, 0.2, Broken(wait)).get(Contact(email="a@x"))
    assert customer.sources["merges"].state == state and customer.sources["zendesk"].state == "ok"
    assert not customer.complete and customer.people


async def test_a_failure_tells_nothing_of_the_inside() -> None:
    customer = await customers(Scripted("hubspot", error=ValueError("password=1"))).get(Contact(email="a@x"))
    assert "password" not in customer.sources["hubspot"].note


async def test_addresses_that_one_source_knows_help_the_others() -> None:
    zendesk = Scripted("zendesk", {"a@x": View((person("zendesk", "a@x", "ada@y"),))})
    hubspot = Scripted("hubspot", {"ada@y": View((person("hubspot", "ada@y"),))})
    customer = await customers(zendesk, hubspot).get(Contact(email="a@x"))
    assert {str(each.reference) for each in customer.people} == {"zendesk:1", "hubspot:1"}
    assert (zendesk.asked, hubspot.asked) == (["a@x"], ["a@x", "ada@y"])


async def test_a_cancelled_call_is_cancelled() -> None:
    call = asyncio.ensure_future(customers(Scripted("hubspot", wait=5)).get(Contact(email="a@x")))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
