"""One function for everything: `make_world()`."""

import random
from datetime import UTC, datetime
from functools import cache

from infra.crm.seed.companies import make_companies
from infra.crm.seed.orders import make_orders
from infra.crm.seed.people import make_people
from infra.crm.seed.products import make_products
from infra.crm.seed.records import World
from infra.crm.seed.spelling import choose_awkward, make_listings
from infra.crm.seed.tickets import make_tickets

# The demo company's documents end in October 2026.
TODAY = datetime(2026, 10, 20, 8, 0, tzinfo=UTC)
SEED = 20_261_020


@cache
def make_world(seed: int = SEED) -> World:
    """The same records for the same seed, in this order of making; nothing in them changes afterwards."""
    random_ = random.Random(seed)
    companies = make_companies(random_)
    people = choose_awkward(random_, make_people(random_, companies))
    listings = make_listings(random_, people, TODAY)
    products = make_products()
    orders = make_orders(random_, people, products, TODAY)
    tickets = make_tickets(random_, listings, orders, TODAY)
    return World(companies, people, listings, tickets, products, orders)
