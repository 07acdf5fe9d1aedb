"""Orders in SQL. Who ordered is sealed; a keyed hash of the address finds the orders of somebody."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from common.databases.failures import sql_call
from common.databases.replicas import Replicated
from common.errors import NotFound
from common.security.encryption import Keyring
from support_hub.adapters.sealed import Sealer
from support_hub.adapters.sql_tables import orders, row
from support_hub.records import Order, OrderLine

WHAT = "The order database"


class SqlOrders:
    """See ports.Orders."""

    def __init__(self, database: Replicated, keys: Keyring) -> None:
        self._database = database
        self._sealer = Sealer(keys)

    async def of(
        self, emails: Sequence[str], limit: int, before: tuple[datetime, str] | None = None, status: str | None = None
    ) -> list[Order]:
        statement = select(orders).where(orders.c.email_index.in_(self._sealer.indexes(emails)))
        if status is not None:
            statement = statement.where(orders.c.status == status)
        if before is not None:
            statement = statement.where(tuple_(orders.c.placed_at, orders.c.number) < before)
        statement = statement.order_by(orders.c.placed_at.desc(), orders.c.number.desc()).limit(limit)

        async def read(connection: AsyncConnection) -> list[Mapping[str, Any]]:
            return [row(found) for found in await connection.execute(statement)]

        with sql_call(WHAT):
            return [_opened(raw, self._sealer) for raw in await self._database.read(read)]

    async def get(self, number: str) -> Order:
        async def read(connection: AsyncConnection) -> Mapping[str, Any] | None:
            found = (await connection.execute(select(orders).where(orders.c.number == number))).first()
            return row(found) if found else None

        with sql_call(WHAT):
            raw = await self._database.read(read)
        if raw is None:
            raise NotFound(f"There is no order {number}.", "list_orders has the customer's order numbers.")
        return _opened(raw, self._sealer)


def order_row(order: Order, sealer: Sealer) -> dict[str, Any]:
    """An order as a row."""
    raw = asdict(order)
    customer = {"email": raw.pop("email").lower(), "company": raw.pop("company")}
    lines = [{**asdict(line), "unit_price": str(line.unit_price)} for line in order.lines]
    sealed = sealer.seal(customer, "orders", "customer", order.number)
    index = sealer.index(customer["email"])
    return {**raw, "email_index": index, "customer": sealed, "total": str(order.total), "lines": lines}


def order_of(raw: Mapping[str, Any]) -> Order:
    """An order from its readable columns."""
    lines = tuple(OrderLine(**{**line, "unit_price": Decimal(line["unit_price"])}) for line in raw["lines"])
    return Order(**{**raw, "total": Decimal(raw["total"]), "lines": lines})


def _opened(raw: Mapping[str, Any], sealer: Sealer) -> Order:
    rest = {name: value for name, value in raw.items() if name not in ("email_index", "customer")}
    return order_of({**rest, **sealer.open(raw["customer"], "orders", "customer", raw["number"])})
