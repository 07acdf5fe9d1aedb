"""Tables from before personal data was sealed: what they held is taken out, and what was readable is overwritten."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, Connection, String, column, inspect, select, table

from support_hub.adapters.sql_tables import orders
from support_hub.records import Profile

SEALED = ("email_index", "customer")
OLD_ORDERS = table(
    "orders",
    *[column(each.name, each.type) for each in orders.columns if each.name not in SEALED],
    *[column(name, String()) for name in ("email", "company")],
)
OLD_PROFILES = table(
    "profiles",
    *[column(name, String()) for name in ("email", "language", "tier")],
    column("preferences", JSON()),
)
OLD = ("orders", "profiles", "writes")


def take_old_rows(connection: Connection) -> tuple[list[dict[str, Any]], list[Profile]]:
    """Orders and profiles of old tables, which are gone then; they have to be put back in the same transaction."""
    inspected = inspect(connection)
    if not inspected.has_table("orders") or "email" not in {each["name"] for each in inspected.get_columns("orders")}:
        return [], []
    found = _rows(connection.execute(select(OLD_ORDERS)))
    profiles = [Profile(**raw) for raw in _rows(connection.execute(select(OLD_PROFILES)))]
    if connection.dialect.name == "sqlite":
        # Else the pages keep their content until they are used again.
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    for name in OLD:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
    return found, profiles


def _rows(result: Iterable[Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in result]
