"""Orders, profiles and catalogue in SQL: SQLite embedded, Postgres in production."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, Table, column, delete, func, insert, literal_column, select, table, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import read_write
from common.errors import NotFound
from support_hub.adapters.sql_tables import create_tables, is_sqlite, orders, products, profiles, row
from support_hub.ports import Page
from support_hub.records import Order, OrderLine, Product, Profile

BATCH = 500


class SqlStore:
    """The hub's own database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def open(self) -> None:
        """Make the tables."""
        async with read_write(self.engine).begin() as connection:
            await create_tables(connection)

    async def ping(self) -> None:
        """Raises if the database does not answer."""
        async with self.engine.connect() as connection:
            await connection.execute(select(1))

    async def import_all(
        self, new_orders: Iterable[Order], new_products: Iterable[Product], new_profiles: Iterable[Profile]
    ) -> None:
        """Replace these records, all or none; it is safe to repeat."""
        async with read_write(self.engine).begin() as connection:
            await _replace(connection, orders, "number", map(_order_row, new_orders))
            rows = [_product_row(product) for product in new_products]
            await _replace(connection, products, "sku", rows)
            await _replace(connection, profiles, "email", map(asdict, new_profiles))
            if is_sqlite(connection):
                await connection.execute(text("DELETE FROM products_search"))
                columns = "sku, name, family, description"
                every = f"INSERT INTO products_search ({columns}) SELECT {columns} FROM products"  # noqa: S608 - constants
                await connection.execute(text(every))


async def _replace(connection: AsyncConnection, into: Table, key: str, rows: Iterable[dict[str, Any]]) -> None:
    every = list(rows)
    for at in range(0, len(every), BATCH):
        part = every[at : at + BATCH]
        await connection.execute(delete(into).where(into.c[key].in_([each[key] for each in part])))
        await connection.execute(insert(into), part)


class SqlOrders:
    """See ports.Orders."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of(
        self, emails: Sequence[str], limit: int, before: tuple[datetime, str] | None = None, status: str | None = None
    ) -> list[Order]:
        statement = select(orders).where(orders.c.email.in_(emails))
        if status is not None:
            statement = statement.where(orders.c.status == status)
        if before is not None:
            statement = statement.where(tuple_(orders.c.placed_at, orders.c.number) < before)
        statement = statement.order_by(orders.c.placed_at.desc(), orders.c.number.desc()).limit(limit)
        async with self._engine.connect() as connection:
            return [_order(row(found)) for found in await connection.execute(statement)]

    async def get(self, number: str) -> Order:
        async with self._engine.connect() as connection:
            found = (await connection.execute(select(orders).where(orders.c.number == number))).first()
        if found is None:
            raise NotFound(f"There is no order {number}.", "list_orders has the customer's order numbers.")
        return _order(row(found))


class SqlProfiles:
    """See ports.Profiles."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, emails: Sequence[str]) -> Profile | None:
        async with self._engine.connect() as connection:
            found = {
                each.email: each
                for each in await connection.execute(select(profiles).where(profiles.c.email.in_(emails)))
            }
        return next((Profile(**row(found[email])) for email in emails if email in found), None)


class SqlCatalogue:
    """See ports.Catalogue. Direct integration (pattern 1): the database's own full-text index, no service between."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def search(self, text: str, family: str | None, limit: int, offset: int) -> Page[Product]:
        async with self._engine.connect() as connection:
            statement = _matching(text, is_sqlite(connection)) if text.split() else _by_name()
            if family is not None:
                statement = statement.where(products.c.family == family)
            count = select(func.count()).select_from(statement.order_by(None).subquery())
            total = (await connection.execute(count)).scalar_one()
            rows = await connection.execute(statement.limit(limit).offset(offset))
            found = [_product(row(each)) for each in rows]
        more = offset + len(found) < total
        return Page(found, str(offset + len(found)) if more else None, total)

    async def get(self, sku: str) -> Product:
        async with self._engine.connect() as connection:
            found = (
                await connection.execute(select(products).where(func.lower(products.c.sku) == sku.lower()))
            ).first()
        if found is None:
            raise NotFound(f"There is no product {sku}.", "search_products finds it by its name.")
        return _product(row(found))


def _by_name() -> Select[Any]:
    return select(products).order_by(products.c.name, products.c.sku)


def _matching(words: str, sqlite: bool) -> Select[Any]:
    """Products with all of the words, best first. The words are a bound value, and in it quoted."""
    if not sqlite:
        query = func.plainto_tsquery("english", words)
        search: Any = literal_column("products.search")
        return (
            select(products).where(search.op("@@")(query)).order_by(func.ts_rank(search, query).desc(), products.c.sku)
        )
    quoted = " ".join('"' + word.replace('"', '""') + '"*' for word in words.split())
    index = table("products_search", column("sku"))
    matching = text("products_search MATCH :words").bindparams(words=quoted)
    found = select(products).select_from(products.join(index, products.c.sku == index.c.sku)).where(matching)
    return found.order_by(literal_column("bm25(products_search, 10, 5, 2, 1)"), products.c.sku)


def _order_row(order: Order) -> dict[str, Any]:
    lines = [{**asdict(line), "unit_price": str(line.unit_price)} for line in order.lines]
    return {**asdict(order), "email": order.email.lower(), "total": str(order.total), "lines": lines}


def _order(raw: Mapping[str, Any]) -> Order:
    lines = tuple(OrderLine(**{**line, "unit_price": Decimal(line["unit_price"])}) for line in raw["lines"])
    return Order(**{**raw, "total": Decimal(raw["total"]), "lines": lines})


def _product_row(product: Product) -> dict[str, Any]:
    return {**asdict(product), "prices": {currency: str(price) for currency, price in product.prices.items()}}


def _product(raw: Mapping[str, Any]) -> Product:
    return Product(**{**raw, "prices": {currency: Decimal(price) for currency, price in raw["prices"].items()}})
