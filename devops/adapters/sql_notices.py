"""The outbox of notices in SQL, beside the changes: a row exists exactly if the step exists that it tells of."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import JSON, Column, Float, Index, Integer, String, Table, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import read_write
from devops.adapters.change_tables import metadata
from devops.changes.change import Change, HandFreeze, Switch
from devops.changes.clock import SteadyClock
from devops.changes.rollouts import WATCHER, Rollout
from devops.changes.states import State
from devops.notify.notice import KINDS, OF_ROLLOUTS, Kind, Notice, facts_of, facts_of_freeze, facts_of_switch, kind_of

LEASE_SECONDS = 120.0
KEPT_SECONDS = 7 * 86_400.0
notices = Table(
    "change_notices",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("channel", String(20), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("at", Float, nullable=False),
    Column("due_at", Float),
    Column("tries", Integer, nullable=False),
    Column("sent_at", Float),
    Column("problem", String(300)),
    Index("notices_by_channel", "channel", "due_at"),
    Index("notices_by_end", "at"),
)
N = notices.c
log = structlog.get_logger(__name__)


class SqlOutbox:
    """Implements Outbox. `channels` are those that are set up; without any, no row is written."""

    def __init__(
        self,
        engine: AsyncEngine,
        clock: SteadyClock,
        channels: Sequence[str] = (),
        kinds: Sequence[Kind] = KINDS,
        base_url: str = "",
    ) -> None:
        self._engine = engine
        self._writer = read_write(engine)
        self._clock = clock
        self._channels = channels
        self._kinds = frozenset(kinds)
        self._base_url = base_url

    async def add_step(
        self, connection: AsyncConnection, change: Change, to: State, by: str, detail: Mapping[str, Any]
    ) -> None:
        """Tell of a step, in the transaction that takes it."""
        kind = kind_of(change, to, detail) if self._channels else None
        if kind in self._kinds and kind is not None:
            await self._add(connection, kind, facts_of(change, to, by, detail, self._base_url))

    async def add_switch(self, connection: AsyncConnection, switch: Switch) -> None:
        """Tell of the kill switch."""
        kind: Kind = "switch.off" if switch.off else "switch.on"
        if self._channels and kind in self._kinds:
            await self._add(connection, kind, facts_of_switch(switch, self._base_url))

    async def add_freeze(self, connection: AsyncConnection, freeze: HandFreeze, lifted_by: str = "") -> None:
        """Tell of a freeze of the console."""
        kind: Kind = "freeze.lifted" if lifted_by else "freeze.set"
        if self._channels and kind in self._kinds:
            await self._add(connection, kind, facts_of_freeze(freeze, lifted_by, self._base_url))

    async def add_rollout(self, connection: AsyncConnection, change: Change, rollout: Rollout) -> None:
        """Tell of a rollout that stands still."""
        kind = OF_ROLLOUTS.get(rollout.state)
        if self._channels and kind is not None and kind in self._kinds:
            facts = facts_of(change, change.state, WATCHER, {"reason": rollout.reason}, self._base_url)
            await self._add(connection, kind, facts)

    async def _add(self, connection: AsyncConnection, kind: Kind, facts: Mapping[str, str]) -> None:
        now = self._clock.now()
        row = {"kind": kind, "facts": dict(facts), "at": now, "due_at": now, "tries": 0}
        rows = [{"id": f"ntc-{secrets.token_hex(12)}", "channel": channel, **row} for channel in self._channels]
        await connection.execute(insert(notices), rows)

    async def take(self, channel: str, limit: int) -> Sequence[Notice]:
        """See Outbox. The tries are counted here, so that one that ends the process is not tried for ever."""
        now = self._clock.now()
        due = and_(N.channel == channel, N.due_at <= now)
        first = select(N.id).where(due).order_by(N.at).limit(limit)
        mine = update(notices).where(and_(N.id.in_(first), due))
        async with self._engine.connect() as connection:
            if (await connection.execute(first.limit(1))).first() is None:
                return []
        async with self._writer.begin() as connection:
            taken = await connection.execute(
                mine.values(due_at=now + LEASE_SECONDS, tries=N.tries + 1).returning(notices)
            )
            rows = sorted(taken.mappings().all(), key=lambda row: float(row["at"]))
        return [Notice(row["id"], row["channel"], row["kind"], row["at"], row["facts"], row["tries"]) for row in rows]

    async def sent(self, notice: Notice) -> None:
        """See Outbox."""
        await self._end(notice, due_at=None, sent_at=self._clock.now(), problem=None)

    async def again(self, notice: Notice, problem: str, in_seconds: float) -> None:
        """See Outbox."""
        await self._end(notice, due_at=self._clock.now() + in_seconds, problem=problem[:300])

    async def give_up(self, notice: Notice, problem: str) -> None:
        """See Outbox."""
        await self._end(notice, due_at=None, problem=problem[:300])

    async def oldest(self) -> float:
        """See Outbox."""
        async with self._engine.connect() as connection:
            first = (await connection.execute(select(func.min(N.at)).where(N.due_at.is_not(None)))).scalar()
        return max(0.0, self._clock.now() - first) if first else 0.0

    async def prune(self) -> None:
        """See Outbox."""
        over = and_(N.due_at.is_(None), N.at < self._clock.now() - KEPT_SECONDS)
        async with self._writer.begin() as connection:
            await connection.execute(delete(notices).where(over))

    async def _end(self, notice: Notice, **values: Any) -> None:
        # Only while it is still ours: after the lease somebody else may have taken it.
        mine = and_(N.id == notice.id, N.tries == notice.tries)
        async with self._writer.begin() as connection:
            await connection.execute(update(notices).where(mine).values(**values))
