"""The catalogue with its full-text index: FTS5 in SQLite, tsvector in Postgres."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, column, func, literal_column, select, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.databases.failures import sql_call
from common.databases.replicas import Replicated
from common.errors import NotFound
from support_hub.adapters.sql_tables import is_sqlite, products, row
from support_hub.ports import Page
from support_hub.records import Product

WHAT = "The catalogue"


class SqlCatalogue:
    """See ports.Catalogue. Direct integration (pattern 1): the database's own full-text index, no service between."""

    def __init__(self, database: Replicated) -> None:
        self._database = database

    async def search(self, text: str, family: str | None, limit: int, offset: int) -> Page[Product]:
        async def read(connection: AsyncConnection) -> tuple[list[Product], int]:
            statement = _matching(text, is_sqlite(connection)) if text.split() else _by_name()
            if family is not None:
                statement = statement.where(products.c.family == family)
            count = select(func.count()).select_from(statement.order_by(None).subquery())
            total = (await connection.execute(count)).scalar_one()
            rows = await connection.execute(statement.limit(limit).offset(offset))
            return [_product(row(each)) for each in rows], total

        with sql_call(WHAT):
            found, total = await self._database.read(read)
        more = offset + len(found) < total
        return Page(found, str(offset + len(found)) if more else None, total)

    async def get(self, sku: str) -> Product:
        statement = select(products).where(func.lower(products.c.sku) == sku.lower())

        async def read(connection: AsyncConnection) -> Product | None:
            found = (await connection.execute(statement)).first()
            return _product(row(found)) if found else None

        with sql_call(WHAT):
            found = await self._database.read(read)
        if found is None:
            raise NotFound(f"There is no product {sku}.", "search_products finds it by its name.")
        return found


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


def _product(raw: Mapping[str, Any]) -> Product:
    return Product(**{**raw, "prices": {currency: Decimal(price) for currency, price in raw["prices"].items()}})
