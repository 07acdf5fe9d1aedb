"""Changes in SQL: SQLite embedded, Postgres where it is configured. Every step is a compare-and-set."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import create_tables, read_write
from common.errors import Conflict, NotFound, RateLimited
from common.observability.call import request_id
from devops.adapters.change_tables import (
    CHANGES,
    approvals,
    change_of,
    changes,
    entry_of,
    journal,
    metadata,
    row_of,
    switch_of,
    switches,
)
from devops.adapters.sql_freezes import add_freeze, current_freezes, is_frozen, lift_freeze
from devops.adapters.sql_glass import add_glass, agree, glass_of, glasses_of_tenant, is_broken, newest_glasses
from devops.adapters.sql_notices import SqlOutbox
from devops.adapters.sql_rollouts import begin_rollout
from devops.changes.change import Approval, Change, Draft, Entry, Glass, HandFreeze, Switch
from devops.changes.clock import SteadyClock
from devops.changes.people import Actor
from devops.changes.states import NEXT, WAITING, State, before

C = changes.c
HOUR = 3600.0
SWITCHED_OFF = exists().where(switches.c.name == CHANGES, switches.c.off)


class SqlChanges:
    """Implements ChangeStore."""

    def __init__(self, engine: AsyncEngine, clock: SteadyClock, outbox: SqlOutbox | None = None) -> None:
        self._engine = engine
        self._outbox = outbox or SqlOutbox(engine, clock)
        self._writer = read_write(engine)
        self._clock = clock

    async def open(self) -> None:
        """Make the tables that are missing. What another process has seen of the time counts here, too."""
        async with self._writer.begin() as connection:
            await connection.run_sync(create_tables, metadata)
            self._clock.at_least((await connection.execute(select(func.max(C.updated_at)))).scalar() or 0.0)

    async def add(self, draft: Draft, state: State, per_hour: int) -> Change:
        """See ChangeStore."""
        now = self._clock.now()
        who, place = draft.requester, draft.environment
        mine = and_(C.tenant == who.tenant, C.person == who.person, C.environment == place)
        recent = select(func.count(), func.min(C.created_at)).where(mine, C.created_at > now - HOUR)
        async with self._writer.begin() as connection:
            count, oldest = (await connection.execute(recent)).one()
            if count >= per_hour:
                message = f"You asked for {count} changes in {place} within an hour."
                raise RateLimited(message, "That is the limit.", retry_after=oldest + HOUR - now)
            await connection.execute(insert(changes).values(**row_of(draft, now)))
            await self._write(connection, draft.id, 0, "planned", who.subject, {"digest": draft.digest})
            planned = Change(draft, "planned", 0, now)
            await self._step(connection, planned, state, who.subject, {})
        return await self.get(draft.id, who.tenant)

    async def get(self, change_id: str, tenant: str) -> Change:
        """See ChangeStore."""
        found = await self._all(and_(C.id == change_id, C.tenant == tenant), 1)
        if not found:
            raise NotFound("There is no such change.", "list_changes shows those that you may see.")
        return found[0]

    async def page(
        self, tenant: str, states: Sequence[State], limit: int, older: tuple[float, str] | None
    ) -> Sequence[Change]:
        """See ChangeStore."""
        wanted = [C.tenant == tenant]
        if states:
            wanted.append(C.state.in_(states))
        if older:
            at, identifier = older
            wanted.append(or_(C.created_at < at, and_(C.created_at == at, C.id < identifier)))
        return await self._all(and_(*wanted), limit, newest=True)

    async def journal(self, change_id: str) -> Sequence[Entry]:
        """See ChangeStore."""
        async with self._engine.connect() as connection:
            found = select(journal).where(journal.c.change_id == change_id).order_by(journal.c.seq)
            return [entry_of(row) for row in (await connection.execute(found)).mappings()]

    async def move(
        self, change: Change, to: State, by: str, detail: Mapping[str, Any] | None = None, outcome: str | None = None
    ) -> bool:
        """See ChangeStore."""
        async with self._writer.begin() as connection:
            return await self._step(connection, change, to, by, detail or {}, outcome=outcome)

    async def approve(self, change: Change, approval: Approval, needed: int) -> Change:
        """See ChangeStore."""
        actor = approval.actor
        row = {"change_id": change.id, "person": actor.person, "actor": asdict(actor)}
        # The change is read and written under one lock: SQLite has one writer, Postgres locks the row.
        current = select(C.version, C.state).where(C.id == change.id).with_for_update()
        try:
            async with self._writer.begin() as connection:
                version, state = (await connection.execute(current)).one()
                if state != "awaiting_approval":
                    raise Conflict(f"The change is {state}: nobody can approve it.", "Read it again with get_change.")
                await connection.execute(insert(approvals).values(**row, digest=approval.digest, at=approval.at))
                own = select(func.count()).where(
                    approvals.c.change_id == change.id, approvals.c.digest == change.draft.digest
                )
                given = int((await connection.execute(own)).scalar_one())
                to: State = "approved" if given >= needed else "awaiting_approval"
                detail = {"digest": approval.digest, "approvals": given, "needed": needed}
                latest = Change(change.draft, state, version, approval.at)
                await self._step(connection, latest, to, actor.subject, detail)
        except IntegrityError:
            raise Conflict(
                "You have approved this change already.", "If it still waits, it needs other people."
            ) from None
        return await self.get(change.id, change.draft.requester.tenant)

    async def ask_glass(self, change: Change, glass: Glass) -> Change:
        """See ChangeStore."""
        detail = {"break_glass": glass.id, "reason": glass.reason, "asked": True}
        async with self._writer.begin() as connection:
            if not await self._step(connection, change, change.state, glass.asker.subject, detail):
                raise Conflict("Somebody else was faster: the change has moved on.", "Read it again.")
            await add_glass(connection, change.id, glass)
        return await self.get(change.id, change.draft.requester.tenant)

    async def open_glass(self, change: Change, glass: Glass, second: Actor, reason: str, now: float) -> Change:
        """See ChangeStore."""
        detail = {"break_glass": glass.id, "reason": reason}
        async with self._writer.begin() as connection:
            agreed = await agree(connection, glass, second, reason, now)
            # From now on the change ends with the glass: it is swept, and cannot be claimed any more.
            if not agreed or not await self._step(
                connection, change, "approved", second.subject, detail, expires_at=glass.until
            ):
                raise Conflict("It is over, or somebody else was faster.", "Read the change again.")
        return await self.get(change.id, change.draft.requester.tenant)

    async def glasses(
        self, tenant: str, limit: int, older: tuple[float, str] | None = None, open_at: float | None = None
    ) -> Sequence[tuple[Change, Glass]]:
        """See ChangeStore."""
        async with self._engine.connect() as connection:
            wanted = glasses_of_tenant(tenant, limit, older, open_at)
            rows = (await connection.execute(wanted)).mappings().all()
        ids = [row["change_id"] for row in rows]
        known = {change.id: change for change in await self._all(C.id.in_(ids), len(ids))} if ids else {}
        return [(known[row["change_id"]], glass_of(row)) for row in rows]

    async def claim(self, change: Change, owner: str, lease_until: float, now: float) -> bool:
        """See ChangeStore."""
        may = or_(~is_frozen(now), is_broken(now))
        ready = and_(C.digest == change.draft.digest, C.expires_at > now, ~SWITCHED_OFF, may)
        values = {"owner": owner, "lease_until": lease_until}
        async with self._writer.begin() as connection:
            return await self._step(connection, change, "executing", owner, {}, ready, **values)

    async def hold(self, change: Change, owner: str, lease_until: float) -> bool:
        """See ChangeStore."""
        mine = and_(C.id == change.id, C.state == "executing", C.owner == owner)
        async with self._writer.begin() as connection:
            held = await connection.execute(update(changes).where(mine).values(lease_until=lease_until).returning(C.id))
            return held.first() is not None

    async def note(self, change: Change, owner: str, detail: Mapping[str, Any]) -> None:
        """See ChangeStore."""
        mine = and_(C.id == change.id, C.state == "executing", C.owner == owner)
        async with self._writer.begin() as connection:
            counted = update(changes).where(mine).values(version=C.version + 1).returning(C.version)
            version = (await connection.execute(counted)).scalar()
            if version is not None:
                await self._write(connection, change.id, version, "executing", owner, detail)

    async def finish(self, change: Change, owner: str, to: State, outcome: str, detail: Mapping[str, Any]) -> bool:
        """See ChangeStore."""
        async with self._writer.begin() as connection:
            current = select(C.version).where(C.id == change.id, C.owner == owner, C.state == "executing")
            version = (await connection.execute(current.with_for_update())).scalar()
            if version is None:
                return False
            running = Change(change.draft, "executing", version, self._clock.now())
            return await self._step(connection, running, to, owner, detail, outcome=outcome, lease_until=None)

    async def approved(self, limit: int | None = None, but: Collection[str] = ()) -> Sequence[Change]:
        """See ChangeStore."""
        return await self._all(and_(C.state == "approved", C.id.not_in(but)), limit)

    async def lapsed(self, now: float) -> Sequence[Change]:
        """See ChangeStore."""
        return await self._all(and_(C.state == "executing", C.lease_until < now), 100)

    async def overdue(self, now: float) -> Sequence[Change]:
        """See ChangeStore."""
        return await self._all(and_(C.state.in_(sorted(WAITING)), C.expires_at <= now), 100)

    async def switch(self) -> Switch:
        """See ChangeStore."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(switches).where(switches.c.name == CHANGES))
            switch = switch_of(found.mappings().first())
            return replace(switch, freezes=await current_freezes(connection, self._clock.now()))

    async def flip(self, switch: Switch) -> None:
        """See ChangeStore."""
        async with self._writer.begin() as connection:
            await connection.execute(delete(switches).where(switches.c.name == CHANGES))
            values = {name: getattr(switch, name) for name in ("off", "by", "reason", "at")}
            await connection.execute(insert(switches).values(name=CHANGES, **values))
            await self._outbox.add_switch(connection, switch)

    async def freeze(self, freeze: HandFreeze) -> None:
        """See ChangeStore."""
        async with self._writer.begin() as connection:
            await add_freeze(connection, freeze)
            await self._outbox.add_freeze(connection, freeze)

    async def lift(self, freeze_id: str, by: str) -> HandFreeze:
        """See ChangeStore."""
        async with self._writer.begin() as connection:
            lifted = await lift_freeze(connection, freeze_id, by, self._clock.now())
            if lifted is None:
                raise NotFound("There is no such freeze any more.", "Look at the page again.")
            await self._outbox.add_freeze(connection, lifted, lifted_by=by)
        return lifted

    async def _step(
        self,
        connection: AsyncConnection,
        change: Change,
        to: State,
        by: str,
        detail: Mapping[str, Any],
        condition: ColumnElement[bool] | None = None,
        **values: Any,
    ) -> bool:
        if to != change.state and change.state not in before(to):
            raise Conflict(
                f"A change that is {change.state} cannot become {to}.", f"Next: {sorted(NEXT[change.state])}."
            )
        same = and_(C.id == change.id, C.state == change.state, C.version == change.version)
        now = self._clock.now()
        values |= {"state": to, "version": C.version + 1, "updated_at": now}
        matching = same if condition is None else and_(same, condition)
        taken = await connection.execute(update(changes).where(matching).values(**values).returning(C.version))
        version = taken.scalar()
        if version is None:
            return False
        await self._write(connection, change.id, version, to, by, detail)
        await self._outbox.add_step(connection, change, to, by, detail)
        await begin_rollout(connection, change, to, now)
        return True

    async def _write(
        self, connection: AsyncConnection, change_id: str, seq: int, state: State, by: str, detail: Mapping[str, Any]
    ) -> None:
        # By its request each step is found in the audit log, and among the traces.
        request = {"request": request_id.get()} if request_id.get() else {}
        row = {"change_id": change_id, "seq": seq, "state": state, "by": by, "detail": {**detail, **request}}
        await connection.execute(insert(journal).values(at=self._clock.now(), **row))

    async def _all(self, condition: ColumnElement[bool], limit: int | None, newest: bool = False) -> list[Change]:
        order = (C.created_at.desc(), C.id.desc()) if newest else (C.created_at, C.id)
        async with self._engine.connect() as connection:
            wanted = select(changes).where(condition).order_by(*order).limit(limit)
            rows = (await connection.execute(wanted)).mappings().all()
            ids = [row["id"] for row in rows]
            mine = select(approvals).where(approvals.c.change_id.in_(ids)).order_by(approvals.c.at)
            given = (await connection.execute(mine)).mappings().all() if ids else []
            broken = await newest_glasses(connection, ids)
        self._clock.at_least(max((row["updated_at"] for row in rows), default=0.0))
        return [
            change_of(row, [each for each in given if each["change_id"] == row["id"]], broken.get(row["id"]))
            for row in rows
        ]
