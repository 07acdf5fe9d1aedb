"""ports.Orders and ports.Catalogue over SQLite, Postgres, and Postgres with a replica."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from common.databases.replicas import Replicated
from common.errors import NotFound
from common.security.encryption import Keyring
from common.security.signing import SigningKey
from support_hub.adapters.sql_catalogue import SqlCatalogue
from support_hub.adapters.sql_orders import SqlOrders
from support_hub.adapters.sql_store import SqlStore
from support_hub.records import Order, OrderLine, Product
from tests.support_hub.adapters.conftest import KEYS

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def order(number: str, email: str = "ada@acme.example", status: str = "open", hours: int = 0) -> Order:
    lines = (OrderLine("TL2", "Tank level sensor", 2, Decimal("19.90"), 1),)
    return Order(number, email, "Acme", NOON + timedelta(hours=hours), status, "GBP", Decimal("39.80"), lines, None)


def product(sku: str, name: str, family: str = "VX", description: str = "For machines.") -> Product:
    return Product(sku, name, family, "sensors", description, {"GBP": Decimal("12.50")}, "3 days", 24, {"ip": "67"})


async def filled(database: Replicated, *orders: Order, products: tuple[Product, ...] = ()) -> SqlOrders:
    await SqlStore(database, KEYS).import_all(orders, products)
    return SqlOrders(database, KEYS)


async def test_orders_newest_first_in_pages(database: Replicated) -> None:
    given = [order(f"SO-{number}", hours=number // 2) for number in range(6)]
    orders = await filled(database, *given, order("SO-other", "ben@acme.example"))
    assert [each.number for each in await orders.of(["ada@acme.example"], 9)] == [f"SO-{n}" for n in range(5, -1, -1)]
    first = await orders.of(["ada@acme.example"], 3)
    rest = await orders.of(["ada@acme.example"], 9, before=(first[-1].placed_at, first[-1].number))
    assert [each.number for each in first + rest] == [f"SO-{n}" for n in range(5, -1, -1)]
    both = await orders.of(["ada@acme.example", "ben@acme.example"], 9)
    assert len(both) == 7


async def test_an_order_comes_back_as_it_was(database: Replicated) -> None:
    given = replace(order("SO-1", "Ada@Acme.Example"), dispatched_at=NOON + timedelta(days=1))
    orders = await filled(database, given)
    assert await orders.get("SO-1") == replace(given, email="ada@acme.example")
    assert await orders.of(["ADA@acme.example"], 1) == [replace(given, email="ada@acme.example")]
    with pytest.raises(NotFound, match="SO-2"):
        await orders.get("SO-2")


async def test_by_status(database: Replicated) -> None:
    orders = await filled(database, order("SO-1"), order("SO-2", status="delivered"))
    assert [each.number for each in await orders.of(["ada@acme.example"], 9, status="delivered")] == ["SO-2"]


async def test_hostile_addresses_find_nothing(database: Replicated) -> None:
    orders = await filled(database, order("SO-1"))
    for hostile in ("' OR 1=1 --", "%", "ada@acme.example' --", "\\", "ada@acme.exampl_"):
        assert await orders.of([hostile], 9) == []
    assert await orders.of([], 9) == []


async def test_an_import_may_be_repeated_and_is_seen_at_once(database: Replicated) -> None:
    orders = await filled(database, order("SO-1"))
    for status in ("packed", "dispatched", "delivered"):
        await filled(database, order("SO-1", status=status))
        # Also where a replica answers: it is not read before it has the import.
        assert [each.status for each in await orders.of(["ada@acme.example"], 9)] == [status]


async def test_orders_of_an_older_key_are_found(database: Replicated) -> None:
    await filled(database, order("SO-1"))
    newer = Keyring(SigningKey(b"n" * 32), [SigningKey(b"k" * 32)])
    assert [each.number for each in await SqlOrders(database, newer).of(["ada@acme.example"], 9)] == ["SO-1"]
    await SqlStore(database, newer).import_all([order("SO-2")], [])
    assert len(await SqlOrders(database, newer).of(["ada@acme.example"], 9)) == 2
    # Who has not got the new key does not find what it sealed.
    assert len(await SqlOrders(database, KEYS).of(["ada@acme.example"], 9)) == 1


async def test_the_catalogue_by_words(database: Replicated) -> None:
    products = (
        product("VX-1", "Vibration sensor", description="Measures pumps."),
        product("VX-2", "Pump", description="With vibration damping."),
        product("TL-1", "Tank level sensors", family="TL"),
    )
    await filled(database, products=products)
    catalogue = SqlCatalogue(database)
    found = await catalogue.search("vibration", None, 9, 0)
    assert [each.sku for each in found.items] == ["VX-1", "VX-2"], "a word in the name counts more"
    assert {each.sku for each in (await catalogue.search("sensor", None, 9, 0)).items} == {"VX-1", "TL-1"}
    assert [each.sku for each in (await catalogue.search("sensor", "TL", 9, 0)).items] == ["TL-1"]
    first = await catalogue.search("", None, 2, 0)
    assert (first.next, first.total) == ("2", 3) and [each.name for each in first.items][0] == "Pump"
    assert [each.sku for each in (await catalogue.search("", None, 2, 2)).items] == ["VX-1"]
    assert await catalogue.get("vx-1") == products[0]
    with pytest.raises(NotFound):
        await catalogue.get("VX-9")


async def test_hostile_words(database: Replicated) -> None:
    await filled(database, products=(product("VX-1", "Vibration sensor"),))
    catalogue = SqlCatalogue(database)
    for hostile in ("vibration & | !", "'; DROP TABLE products --", '" NEAR(', "* OR *", ":*"):
        await catalogue.search(hostile, None, 9, 0)
    assert (await catalogue.search("", None, 9, 0)).total == 1
