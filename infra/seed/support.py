"""Loads the demo company's orders, products and customer profiles into whatever databases the support hub has."""

from dataclasses import asdict

from common.security.encryption import load_keyring
from common.settings import CommonSettings, load_settings
from infra.crm.seed import records as seed
from infra.crm.seed.world import make_world
from support_hub.adapters.sql_store import SqlStore
from support_hub.bootstrap_databases import build_database, build_profiles
from support_hub.records import Order, OrderLine, Product, Profile
from support_hub.settings import SupportSettings

LANGUAGES = {"DE": "de", "FR": "fr", "NL": "nl"}
GOLD, SILVER = 8, 4
"""Orders of a company that make it gold, or silver."""


async def load_support(settings: CommonSettings) -> int:
    """Import everything; returns how many orders there are. It is safe to repeat."""
    world = make_world()
    keys, of_hub = load_keyring(settings), load_settings(SupportSettings)
    database = build_database(settings, of_hub)
    store, kept = SqlStore(database, keys), build_profiles(settings, of_hub, database, keys)
    try:
        await store.open()
        await kept.open()
        orders = [_order(order) for order in world.orders]
        await store.import_all(orders, [_product(product) for product in world.products])
        await kept.put(profiles(world))
    finally:
        await kept.close()
        await store.close()
    return len(orders)


def profiles(world: seed.World) -> list[Profile]:
    """One for each address: the language of the country, and a tier by the company's orders."""
    counts: dict[str, int] = {}
    for order in world.orders:
        counts[order.company] = counts.get(order.company, 0) + 1
    found = {}
    for person in world.people:
        count = counts.get(person.company.key, 0)
        found[person.email.lower()] = Profile(
            email=person.email.lower(),
            language=LANGUAGES.get(person.address.country, "en"),
            tier="gold" if count >= GOLD else "silver" if count >= SILVER else "standard",
            preferences={"channel": "phone" if person.phone and person.key[-1] in "05" else "email"},
        )
    return list(found.values())


def _order(order: seed.Order) -> Order:
    return Order(
        number=order.number,
        email=order.email,
        company=order.company_name,
        placed_at=order.placed_at,
        status=order.status,
        currency=order.currency,
        total=order.total,
        lines=tuple(OrderLine(**asdict(line)) for line in order.lines),
        dispatched_at=order.dispatched_at,
    )


def _product(product: seed.Product) -> Product:
    return Product(
        sku=product.sku,
        name=product.name,
        family=product.family,
        category=product.category,
        description=product.description,
        prices={"GBP": product.price_gbp, "EUR": product.price_eur, "CAD": product.price_cad},
        delivery=product.delivery,
        warranty_months=product.warranty_months,
        attributes=product.attributes,
    )
