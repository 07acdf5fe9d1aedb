"""Freezes that were set in the console; they stay as rows when they are over."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Column, ColumnElement, Float, Index, String, Table, and_, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from devops.adapters.change_tables import changes, metadata
from devops.changes.change import HandFreeze

freezes = Table(
    "change_freezes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("environment", String(64), nullable=False),
    Column("start", Float, nullable=False),
    Column("end", Float, nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("by", String(300), nullable=False),
    Column("lifted_by", String(300)),
    Column("lifted_at", Float),
    Index("freezes_by_end", "end"),
)
F = freezes.c
FIELDS = ("id", "environment", "start", "end", "reason", "by")


def is_frozen(now: float) -> ColumnElement[bool]:
    """Of a row of changes: whether its environment is frozen in the console."""
    here = or_(F.environment == "*", F.environment == changes.c.environment)
    return exists().where(and_(here, F.end > now, F.lifted_at.is_(None)))


async def current_freezes(connection: AsyncConnection, now: float) -> Sequence[HandFreeze]:
    """Those that are not over."""
    wanted = select(freezes).where(F.end > now, F.lifted_at.is_(None)).order_by(F.end).limit(100)
    rows = (await connection.execute(wanted)).mappings()
    return [HandFreeze(**{name: row[name] for name in FIELDS}) for row in rows]


async def add_freeze(connection: AsyncConnection, freeze: HandFreeze) -> None:
    """One more."""
    await connection.execute(insert(freezes).values(**asdict(freeze)))


async def lift_freeze(connection: AsyncConnection, freeze_id: str, by: str, now: float) -> HandFreeze | None:
    """End it; None if it is over already."""
    still = and_(F.id == freeze_id, F.end > now, F.lifted_at.is_(None))
    lifted = await connection.execute(
        update(freezes).where(still).values(lifted_by=by, lifted_at=now).returning(freezes)
    )
    row = lifted.mappings().first()
    return HandFreeze(**{name: row[name] for name in FIELDS}) if row else None
