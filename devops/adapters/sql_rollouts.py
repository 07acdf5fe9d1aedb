"""Rollouts in SQL: a row comes into being with the outcome of its change, and is looked at by one process at a time."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Column, Float, Index, Integer, RowMapping, String, Table, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import read_write
from devops.adapters.change_tables import change_of, changes, metadata
from devops.adapters.sql_notices import SqlOutbox
from devops.changes.change import Change
from devops.changes.clock import SteadyClock
from devops.changes.rollouts import WATCHED, Rollout, is_rollout
from devops.changes.states import State

LEASE_SECONDS = 60.0
rollouts = Table(
    "change_rollouts",
    metadata,
    Column("change_id", String(40), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("began_at", Float, nullable=False),
    Column("progressed_at", Float, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("updated", Integer, nullable=False),
    Column("ready", Integer, nullable=False),
    Column("old", Integer, nullable=False),
    Column("reason", String(400), nullable=False),
    Column("template", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("due_at", Float, nullable=False),
    Index("rollouts_by_state", "state", "due_at"),
)
R = rollouts.c
FIELDS = tuple(column.name for column in rollouts.columns if column.name != "due_at")


async def begin_rollout(connection: AsyncConnection, change: Change, to: State, now: float) -> None:
    """In the transaction that ends the execution."""
    if to == "succeeded" and is_rollout(change.draft):
        rollout = Rollout(change.id, "progressing", began_at=now, progressed_at=now)
        await connection.execute(insert(rollouts).values(**asdict(rollout), due_at=now))


class SqlRollouts:
    """Implements RolloutStore."""

    def __init__(self, engine: AsyncEngine, clock: SteadyClock, outbox: SqlOutbox) -> None:
        self._engine = engine
        self._writer = read_write(engine)
        self._clock = clock
        self._outbox = outbox

    async def of(self, change_id: str) -> Rollout | None:
        """See RolloutStore."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(rollouts).where(R.change_id == change_id))
            row = found.mappings().first()
        return _rollout_of(row) if row else None

    async def take(self, limit: int) -> Sequence[tuple[Change, Rollout]]:
        """See RolloutStore."""
        now = self._clock.now()
        due = and_(R.state.in_(sorted(WATCHED)), R.due_at <= now)
        first = select(R.change_id).where(due).order_by(R.due_at).limit(limit)
        async with self._engine.connect() as connection:
            if (await connection.execute(first.limit(1))).first() is None:
                return []
        async with self._writer.begin() as connection:
            mine = update(rollouts).where(and_(R.change_id.in_(first), due)).values(due_at=now + LEASE_SECONDS)
            rows = (await connection.execute(mine.returning(rollouts))).mappings().all()
            wanted = select(changes).where(changes.c.id.in_([row["change_id"] for row in rows]))
            known = {row["id"]: change_of(row) for row in (await connection.execute(wanted)).mappings()}
        return [(known[row["change_id"]], _rollout_of(row)) for row in rows]

    async def keep(self, change: Change, before: Rollout, now: Rollout, pause_seconds: float = 1.0) -> None:
        """See RolloutStore."""
        values: dict[str, Any] = {**asdict(now), "version": before.version + 1}
        same = and_(R.change_id == before.change_id, R.version == before.version)
        due = {"due_at": self._clock.now() + pause_seconds}
        async with self._writer.begin() as connection:
            done = await connection.execute(update(rollouts).where(same).values(**values, **due).returning(R.version))
            if done.first() is not None and now.state != before.state:
                await self._outbox.add_rollout(connection, change, now)


def _rollout_of(row: RowMapping) -> Rollout:
    return Rollout(**{name: row[name] for name in FIELDS})
