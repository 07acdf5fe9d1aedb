"""The job queue in SQL: SQLite embedded, Postgres where it is configured."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import read_write
from common.jobs import sql_views
from common.jobs.claims import Claims, as_new
from common.jobs.job import DeadLetter, Depth, Job, Progress, Retry
from common.jobs.sql_table import jobs


class SqlJobQueue(Claims):
    """Implements JobQueue."""

    def __init__(
        self, engine: AsyncEngine, worker: str, lease_seconds: float = 60.0, retry: Retry | None = None
    ) -> None:
        super().__init__(worker, lease_seconds, retry)
        self._engine = engine
        self._writer = read_write(engine)

    async def claim(self, limit: int) -> list[Job]:
        """See JobQueue."""
        now = time.time()
        lost = jobs.c.lost + case((jobs.c.state == "running", 1), else_=0)
        claim = {"worker": self._worker, "attempt": jobs.c.attempt + 1, "lost": lost}
        taken = (
            update(jobs)
            .where(jobs.c.id.in_(_ready(now, limit).scalar_subquery()))
            .values(state="running", ready_at=now + self.lease_seconds, **claim)
            .returning(jobs)
        )
        async with self._writer.begin() as connection:
            rows = (await connection.execute(taken)).mappings().all()
            if fatal := [row["id"] for row in rows if row["lost"] > self._retry.max_lost]:
                why = f"It was under way when {self._retry.max_lost + 1} workers ended, so it may have been the cause."
                given_up = {"state": "dead", "error": why, "ended": now}
                await connection.execute(update(jobs).where(jobs.c.id.in_(fatal)).values(**given_up))
        claimed = [sql_views.job_of(row) for row in rows if row["id"] not in fatal]
        return sorted(claimed, key=lambda job: job.id)

    async def _update(self, claimed: Sequence[Job], **values: Any) -> None:
        if claimed:
            async with self._writer.begin() as connection:
                await connection.execute(update(jobs).where(_still(claimed)).values(**values))

    async def record(
        self, batch: str, tenant: str, subject: str, payload: dict[str, Any], state: str, error: str | None = None
    ) -> None:
        """See JobQueue."""
        now = time.time()
        row = {"id": str(uuid.uuid4()), "batch": batch, "tenant": tenant, "subject": subject, "payload": payload}
        times = {"ready_at": now, "created": now, "ended": now}
        async with self._writer.begin() as connection:
            await connection.execute(insert(jobs).values(**row, **times, state=state, attempt=0, error=error))

    async def cancel(self, batch: str, kind: str) -> int:
        """See JobQueue."""
        waiting = (jobs.c.batch == batch) & (jobs.c.state == "queued")
        withdrawn = update(jobs).where(waiting, jobs.c.payload["kind"].as_string() == kind)
        async with self._writer.begin() as connection:
            result = await connection.execute(withdrawn.values(state="cancelled", ended=time.time()))
        return int(result.rowcount)

    async def replay(self, job_ids: Sequence[str]) -> int:
        """See JobQueue."""
        again = as_new(time.time())
        these = update(jobs).where(jobs.c.id.in_(job_ids), jobs.c.state == "dead")
        async with self._writer.begin() as connection:
            return int((await connection.execute(these.values(**again))).rowcount)

    async def progress(self, batch: str) -> Progress | None:
        """See JobQueue."""
        async with self._engine.connect() as connection:
            return await sql_views.progress(connection, batch)

    async def newest(self, tenant: str, subject: str | None, limit: int) -> list[Progress]:
        """See JobQueue."""
        async with self._engine.connect() as connection:
            return await sql_views.newest(connection, tenant, subject, limit)

    async def dead_letters(self, tenant: str | None, limit: int) -> list[DeadLetter]:
        """See JobQueue."""
        async with self._engine.connect() as connection:
            return await sql_views.dead_letters(connection, tenant, limit)

    async def dead_letter(self, job_id: str) -> DeadLetter | None:
        """See JobQueue."""
        async with self._engine.connect() as connection:
            return await sql_views.dead_letter(connection, job_id)

    async def depth(self) -> Depth:
        """See JobQueue."""
        async with self._engine.connect() as connection:
            return await sql_views.depth(connection)

    async def pending(self) -> int:
        """See JobQueue."""
        async with self._engine.connect() as connection:
            waiting = select(func.count()).where(jobs.c.state.in_(["queued", "running"]))
            return int((await connection.execute(waiting)).scalar_one())


def _ready(now: float, limit: int) -> Select[Any]:
    waiting = or_(jobs.c.state == "queued", jobs.c.state == "running") & (jobs.c.ready_at <= now)
    found = select(jobs.c.id).where(waiting).order_by(jobs.c.ready_at).limit(limit)
    return found.with_for_update(skip_locked=True)


def _still(claimed: Sequence[Job]) -> ColumnElement[bool]:
    """These jobs, as far as nobody has claimed them again, or ended them."""
    same = tuple_(jobs.c.id, jobs.c.attempt).in_([(job.id, job.attempt) for job in claimed])
    return same & jobs.c.state.in_(["queued", "running"])
