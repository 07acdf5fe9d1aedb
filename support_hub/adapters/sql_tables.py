"""Tables of the hub's own database: orders, products with their full-text index, profiles. Personal data is sealed."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection


class Utc(TypeDecorator[datetime]):
    """Times with zone, also in SQLite, which has none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


metadata = MetaData()
orders = Table(
    "orders",
    metadata,
    Column("number", String(40), primary_key=True),
    Column("email_index", String(64), nullable=False, index=True),
    Column("customer", LargeBinary, nullable=False),
    Column("placed_at", Utc, nullable=False),
    Column("status", String(20), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("total", String(24), nullable=False),
    Column("lines", JSON, nullable=False),
    Column("dispatched_at", Utc),
)
products = Table(
    "products",
    metadata,
    Column("sku", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("family", String(60), nullable=False, index=True),
    Column("category", String(60), nullable=False),
    Column("description", Text, nullable=False),
    Column("prices", JSON, nullable=False),
    Column("delivery", String(60), nullable=False),
    Column("warranty_months", Integer, nullable=False),
    Column("attributes", JSON, nullable=False),
)
profiles = Table(
    "profiles",
    metadata,
    Column("email_index", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
SQLITE_SEARCH = """CREATE VIRTUAL TABLE IF NOT EXISTS products_search USING fts5
(sku, name, family, description, tokenize = 'porter unicode61 remove_diacritics 2')"""
POSTGRES_SEARCH = (
    """ALTER TABLE products ADD COLUMN IF NOT EXISTS search tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('english', sku || ' ' || name), 'A') ||
    setweight(to_tsvector('english', family || ' ' || description), 'B')) STORED""",
    "CREATE INDEX IF NOT EXISTS products_search ON products USING gin (search)",
)


def is_sqlite(connection: AsyncConnection) -> bool:
    """Which of the two full-text indexes there is."""
    return connection.dialect.name == "sqlite"


async def create_tables(connection: AsyncConnection) -> None:
    """Make what is not there yet."""
    await connection.run_sync(metadata.create_all)
    for statement in (SQLITE_SEARCH,) if is_sqlite(connection) else POSTGRES_SEARCH:
        await connection.execute(text(statement))


def row(mapping: Any) -> dict[str, Any]:
    """A result's row as a dictionary."""
    return dict(mapping._mapping)
