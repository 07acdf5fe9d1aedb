"""Orders with the prices, discounts and delivery times of the documents."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from infra.crm.seed.records import Order, OrderLine, Person, Product

TOTAL = 1500
BACK_ORDER_SINCE = datetime(2026, 3, 1, tzinfo=UTC)
CURRENCIES: dict[str, Literal["GBP", "EUR", "CAD"]] = {"GB": "GBP", "CA": "CAD"}
FREE_FREIGHT, FREIGHT = Decimal(500), Decimal(18)
SMALL_ORDER, HANDLING = Decimal(100), Decimal(12)
# Loggers in an order, and the discount on hardware (discount rules, section 1).
VOLUME = ((500, "0.12"), (200, "0.08"), (50, "0.05"))


def make_orders(
    random_: random.Random, people: tuple[Person, ...], products: tuple[Product, ...], today: datetime
) -> tuple[Order, ...]:
    """All orders, oldest first; among them the one of Basalt that the account note speaks of."""
    catalogue = {product.sku: product for product in products}
    goods = {country: _goods(catalogue, country) for country in ("CA", "")}
    dates = sorted(today - timedelta(minutes=int(random_.triangular(0, 2_000_000, 170_000))) for _ in range(TOTAL - 1))
    orders = []
    for number, at in enumerate(dates, 1001):
        buyer = random_.choice(people)
        offered = goods["CA" if buyer.company.country == "CA" else ""]
        orders.append(_order(random_, f"SO-{at:%y}{number:05d}", buyer, offered, at, today))
    saskia = next(person for person in people if person.first == "Saskia")
    return tuple(sorted([*orders, _basalt(saskia, catalogue)], key=lambda order: order.placed_at))


def _goods(catalogue: dict[str, Product], country: str) -> tuple[list[Product], list[int]]:
    """What is sold in a country, as to its radio, and how often."""
    other = "-868" if country == "CA" else "-915"
    goods = [product for product in catalogue.values() if other not in product.sku]
    return goods, [6 if product.category == "devices" else 1 for product in goods]


def _order(
    random_: random.Random,
    number: str,
    person: Person,
    offered: tuple[list[Product], list[int]],
    at: datetime,
    today: datetime,
) -> Order:
    chosen = {product.sku: product for product in random_.choices(*offered, k=random_.randint(1, 5))}.values()
    goods = [(product, _quantity(random_, product)) for product in chosen]
    late = any(product.family == "VX-300" for product in chosen) and at >= BACK_ORDER_SINCE
    return _priced(number, person, goods, at, "back_order" if late else _status(random_, at, today))


def _quantity(random_: random.Random, product: Product) -> int:
    if product.category == "devices" and product.family != "GW-20":
        return random_.choice((2, 5, 10, 12, 20, 25, 40, 60, 120, 240))
    return random_.choice((1, 1, 1, 2, 3, 5, 10))


def _status(random_: random.Random, at: datetime, today: datetime) -> str:
    age = (today - at).days
    if age < 5:
        return "open"
    if age < 14:
        return random_.choice(("open", "dispatched", "dispatched"))
    return random_.choices(("delivered", "returned", "cancelled"), (93, 4, 3))[0]


def _priced(number: str, person: Person, goods: list[tuple[Product, int]], at: datetime, status: str) -> Order:
    currency = CURRENCIES.get(person.company.country, "EUR")
    loggers = sum(count for product, count in goods if product.family in ("TL-100", "TL-200", "HL-150"))
    rate = next((Decimal(rate) for least, rate in VOLUME if loggers >= least), Decimal(0))
    lines = tuple(_line(product, count, currency, rate, status) for product, count in goods)
    goods_total = sum((line.unit_price * line.quantity for line in lines), Decimal(0))
    freight = (Decimal(0) if goods_total >= FREE_FREIGHT else FREIGHT) + (HANDLING if goods_total < SMALL_ORDER else 0)
    return Order(
        number=number,
        person=person.key,
        company=person.company.key,
        company_name=person.company.name,
        email=person.email,
        placed_at=at,
        status=status,  # type: ignore[arg-type]
        currency=currency,
        lines=lines,
        freight=freight,
        total=goods_total + freight,
        ship_to=person.address,
        dispatched_at=at + timedelta(days=6) if status in ("dispatched", "delivered", "returned") else None,
    )


def _line(product: Product, count: int, currency: str, rate: Decimal, status: str) -> OrderLine:
    listed = {"GBP": product.price_gbp, "EUR": product.price_eur, "CAD": product.price_cad}[currency]
    hardware = product.category == "devices" and product.family != "VX-300"
    price = (listed * (1 - rate) if hardware else listed).quantize(Decimal("0.01"))
    return OrderLine(product.sku, product.name, count, price, count if status in ("delivered", "returned") else 0)


def _basalt(person: Person, catalogue: dict[str, Product]) -> Order:
    """180 sensors of 9 March 2026: 40 came on 21 September at 15 % off, 140 are promised for 22 January 2027."""
    at = datetime(2026, 3, 9, 9, 12, tzinfo=UTC)
    sensor = catalogue["VX3-868"]
    order = _priced("SO-2600180", person, [(sensor, 140)], at, "back_order")
    early = OrderLine(sensor.sku, sensor.name, 40, (sensor.price_eur * Decimal("0.85")).quantize(Decimal("0.01")), 40)
    total = order.total + early.unit_price * early.quantity
    return replace(order, lines=(early, *order.lines), total=total)
