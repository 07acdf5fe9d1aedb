"""The hub's own database: SQLite embedded, in production a Postgres primary with replicas."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Table, delete, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.databases.failures import sql_call
from common.databases.replicas import Replicated
from common.databases.tables import take_turn
from common.security.encryption import Keyring
from support_hub.adapters.sealed import Sealer
from support_hub.adapters.sql_orders import order_of, order_row
from support_hub.adapters.sql_tables import create_tables, is_sqlite, orders, products, profiles
from support_hub.adapters.sql_upgrade import take_old_rows
from support_hub.records import Order, Product, Profile

BATCH = 500


class SqlStore:
    """Its tables, and how they are filled."""

    def __init__(self, database: Replicated, keys: Keyring) -> None:
        self._database = database
        self._sealer = Sealer(keys)

    async def open(self) -> None:
        """Make the tables, and the connections that are kept."""
        with sql_call("The database"):
            async with self._database.write() as connection:
                await connection.run_sync(take_turn)
                old_orders, old_profiles = await connection.run_sync(take_old_rows)
                await create_tables(connection)
                await self._put_back(connection, old_orders, old_profiles)
            await self._database.warm()

    async def _put_back(
        self, connection: AsyncConnection, old_orders: list[dict[str, Any]], old_profiles: list[Profile]
    ) -> None:
        rows = [order_row(order_of(raw), self._sealer) for raw in old_orders]
        await replace(connection, orders, "number", rows)
        sealed = [self._sealer.profile(profile) for profile in old_profiles]
        await replace(connection, profiles, "email_index", [{"email_index": at, "sealed": what} for at, what in sealed])

    async def ping(self) -> None:
        """Raises if the database does not answer."""
        await self._database.ping()

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()

    async def import_all(self, new_orders: Iterable[Order], new_products: Iterable[Product]) -> None:
        """Replace these records, all or none; it is safe to repeat. Reads see them from the next on."""
        async with self._database.write() as connection:
            await replace(connection, orders, "number", [order_row(order, self._sealer) for order in new_orders])
            await replace(connection, products, "sku", [_product_row(product) for product in new_products])
            if is_sqlite(connection):
                await connection.execute(text("DELETE FROM products_search"))
                columns = "sku, name, family, description"
                every = f"INSERT INTO products_search ({columns}) SELECT {columns} FROM products"  # noqa: S608 - constants
                await connection.execute(text(every))


async def replace(connection: AsyncConnection, into: Table, key: str, rows: list[dict[str, Any]]) -> None:
    """Write rows instead of those with the same keys."""
    for at in range(0, len(rows), BATCH):
        part = rows[at : at + BATCH]
        await connection.execute(delete(into).where(into.c[key].in_([each[key] for each in part])))
        await connection.execute(insert(into), part)


def _product_row(product: Product) -> dict[str, Any]:
    return {**asdict(product), "prices": {currency: str(price) for currency, price in product.prices.items()}}
