"""The seed: large enough, consistent, the same each time, and true to its ground truth."""

import json
from collections import Counter, defaultdict
from decimal import Decimal

import pytest

from infra.crm.ids import is_salesforce_id, with_check
from infra.crm.seed.records import World
from infra.crm.seed.spelling import AWKWARD
from infra.crm.seed.truth import ground_truth
from infra.crm.seed.world import make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def test_it_is_as_large_as_promised(world: World) -> None:
    assert len(world.people) >= 500 and len(world.tickets) >= 3000
    assert len(world.orders) >= 1500 and len(world.products) >= 120
    assert len({product.sku for product in world.products}) == len(world.products)
    for names in ([o.number for o in world.orders], [t.key for t in world.tickets], [p.key for p in world.people]):
        assert len(set(names)) == len(names)


def test_the_same_seed_makes_the_same_world(world: World) -> None:
    again = make_world.__wrapped__()
    assert again == world
    assert make_world(7) != world


def test_about_15_percent_are_awkward_in_every_way(world: World) -> None:
    ways = Counter(way for person in world.people for way in person.awkward)
    assert 0.12 < sum(1 for person in world.people if person.awkward) / len(world.people) < 0.2
    assert set(ways) == {*AWKWARD, "shared_mailbox", "namesake"} and min(ways.values()) >= 5
    assert any(company.former_name for company in world.companies)


def test_awkward_people_are_in_two_platforms_and_differ_there(world: World) -> None:
    spelled = defaultdict(set)
    for listing in world.listings:
        spelled[listing.person].add((listing.first, listing.last, listing.email))
    for person in world.people:
        if set(person.awkward) & {"diacritics", "nickname", "swapped_names", "married_name", "typo", "no_email"}:
            assert len(spelled[person.key]) > 1, person


def test_the_truth_names_every_record_once(world: World) -> None:
    lines = [json.loads(json.dumps(line)) for line in ground_truth(world)]
    named = [record for line in lines if line["kind"] == "person" for record in line["records"]]
    assert sorted(named) == sorted(f"{listing.platform}:{listing.record_id}" for listing in world.listings)
    tickets = {ticket.key: ticket for ticket in world.tickets}
    mirrors = [line["tickets"] for line in lines if line["kind"] == "mirror"]
    assert len(mirrors) >= 100
    for one, other in mirrors:
        assert tickets[one].text == tickets[other].text and tickets[one].listing.person == tickets[other].listing.person
    injections = [line["ticket"] for line in lines if line["kind"] == "injection"]
    assert len(injections) >= 20
    assert all(tickets[key].injection for key in injections)


def test_tickets_read_differently(world: World) -> None:
    assert len({ticket.text for ticket in world.tickets}) > 2800
    assert len({ticket.subject for ticket in world.tickets}) > 800
    assert not any("{" in ticket.text.replace("{{", "") for ticket in world.tickets if not ticket.injection)


def test_prices_are_those_of_the_price_list(world: World) -> None:
    prices = {product.sku: product for product in world.products}
    assert prices["TL2-868-T4"].price_gbp == Decimal("189.00") and prices["VX3-868"].price_eur == Decimal("755.00")
    for order in world.orders:
        goods = sum((line.unit_price * line.quantity for line in order.lines), Decimal(0))
        assert order.total == goods + order.freight
        assert all(line.sku in prices for line in order.lines)


def test_the_documents_and_the_orders_agree_about_basalt(world: World) -> None:
    order = next(order for order in world.orders if order.number == "SO-2600180")
    assert order.company_name == "Basalt Data Centres" and order.status == "back_order"
    assert [(line.quantity, line.delivered) for line in order.lines] == [(40, 40), (140, 0)]


def test_salesforce_ids_carry_their_check() -> None:
    # The example of Salesforce's own help page.
    assert with_check("0015000000Gv7qJ") == "0015000000Gv7qJAAR"
    assert is_salesforce_id("0015000000Gv7qJ") and not is_salesforce_id("0015000000Gv7qJAAA")
    assert not is_salesforce_id("' OR 1=1")
