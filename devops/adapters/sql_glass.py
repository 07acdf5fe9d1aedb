"""Rows of break-glass; nothing ever deletes them. The steps of the change come in the same transaction."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Float,
    Index,
    RowMapping,
    Select,
    String,
    Table,
    and_,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from devops.adapters.change_tables import changes, metadata
from devops.changes.change import Glass
from devops.changes.people import Actor, actor_from
from devops.changes.states import WAITING

glasses = Table(
    "change_glasses",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("change_id", String(40), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("asker", JSON, nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("second", JSON(none_as_null=True)),
    Column("second_reason", String(1000), nullable=False),
    Column("agreed_at", Float),
    Index("glasses_by_change", "change_id", "asked_at"),
    Index("glasses_by_end", "until"),
)
G = glasses.c


async def add_glass(connection: AsyncConnection, change_id: str, glass: Glass) -> None:
    """What was asked."""
    await connection.execute(insert(glasses).values(change_id=change_id, **asdict(glass)))


async def agree(connection: AsyncConnection, glass: Glass, second: Actor, reason: str, now: float) -> bool:
    """Note the second person; False if it is over, or somebody was faster."""
    still = and_(G.id == glass.id, G.agreed_at.is_(None), G.until > now)
    values = {"second": asdict(second), "second_reason": reason, "agreed_at": now}
    taken = await connection.execute(update(glasses).where(still).values(**values).returning(G.id))
    return taken.first() is not None


async def newest_glasses(connection: AsyncConnection, change_ids: Sequence[str]) -> dict[str, Glass]:
    """The newest of each change that has one."""
    if not change_ids:
        return {}
    found = select(glasses).where(G.change_id.in_(change_ids)).order_by(G.asked_at)
    return {row["change_id"]: glass_of(row) for row in (await connection.execute(found)).mappings()}


def is_broken(now: float) -> ColumnElement[bool]:
    """Of a row of changes: whether two people have broken the glass for it, and it is not over."""
    return exists().where(and_(G.change_id == changes.c.id, G.agreed_at.is_not(None), G.until > now))


def glasses_of_tenant(tenant: str, limit: int, older: tuple[float, str] | None, open_at: float | None) -> Select[Any]:
    """Newest first; with `open_at` only those that are not over then, of changes that have not ended."""
    wanted = [changes.c.tenant == tenant]
    if open_at is not None:
        wanted += [G.until > open_at, changes.c.state.in_([*sorted(WAITING), "executing"])]
    if older is not None:
        at, identifier = older
        wanted.append(or_(G.asked_at < at, and_(G.asked_at == at, G.id < identifier)))
    joined = select(glasses).join(changes, changes.c.id == G.change_id).where(and_(*wanted))
    return joined.order_by(G.asked_at.desc(), G.id.desc()).limit(limit)


def glass_of(row: RowMapping) -> Glass:
    """A row."""
    return Glass(
        id=row["id"],
        digest=row["digest"],
        asker=actor_from(row["asker"]),
        reason=row["reason"],
        asked_at=row["asked_at"],
        until=row["until"],
        second=actor_from(row["second"]) if row["second"] else None,
        second_reason=row["second_reason"],
        agreed_at=row["agreed_at"],
    )
