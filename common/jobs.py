"""Background jobs whose truth is a table: lease, heartbeat, attempts. A job whose worker died is claimed again."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    case,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import read_write

metadata = MetaData()
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("batch", String(36), nullable=False),
    Column("tenant", String(100), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(10), nullable=False),
    # How often it was claimed, which tells one worker's claim from another's; and how often that ended in an error.
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("worker", String(100)),
    Column("ready_at", Float, nullable=False),
    Column("error", String(1000)),
    Column("created", Float, nullable=False),
    Index("jobs_by_state", "state", "ready_at"),
    Index("jobs_by_batch", "batch", "state"),
)
MAX_FAILURES = 3
MAX_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class Job:
    """A claimed job, the `attempt`th time; 0 if it was never claimed."""

    id: str
    batch: str
    tenant: str
    subject: str
    payload: dict[str, Any]
    attempt: int


@dataclass(frozen=True)
class Progress:
    """Where a batch stands."""

    batch: str
    tenant: str
    subject: str
    total: int
    done: int
    failed: int
    created: float
    errors: list[dict[str, Any]]

    @property
    def complete(self) -> bool:
        return self.done + self.failed == self.total

    @property
    def state(self) -> str:
        if not self.complete:
            return "running" if self.done or self.failed else "queued"
        return "failed" if self.failed == self.total and self.total else "finished"


def new_batch() -> str:
    """An id for jobs that belong together."""
    return str(uuid.uuid4())


async def enqueue(
    connection: AsyncConnection,
    batch: str,
    tenant: str,
    subject: str,
    payloads: Sequence[dict[str, Any]],
    delay: float = 0.0,
) -> list[Job]:
    """Add jobs in the caller's transaction, so that they exist exactly if what they are about exists.

    No worker takes them before `delay` seconds are over: the caller may do them himself, and `finish` them.
    """
    now = time.time()
    added = [Job(str(uuid.uuid4()), batch, tenant, subject, payload, 0) for payload in payloads]
    times = {"state": "queued", "ready_at": now + delay, "created": now}
    await connection.execute(insert(jobs), [vars(job) | times for job in added])
    return added


class JobQueue(Protocol):
    """Hands out jobs to workers of any process. The queue is where the jobs are: in SQL here, or beside a catalogue."""

    lease_seconds: float

    async def claim(self, limit: int) -> list[Job]:
        """Take jobs that are ready, or whose worker's lease ran out."""

    async def heartbeat(self, claimed: Sequence[Job]) -> None:
        """Extend the lease of jobs that are still being worked on."""

    async def finish(self, finished: Sequence[Job]) -> None:
        """Mark jobs done; those that somebody else has claimed since are left to him."""

    async def fail(self, job: Job, error: str, retry: bool) -> None:
        """Try again with a growing pause, or give up. A worker that was killed does not count as a failure."""

    async def record(
        self, batch: str, tenant: str, subject: str, payload: dict[str, Any], state: str, error: str | None = None
    ) -> None:
        """Add what needs no work to a batch: `done` already, or `failed` for good."""

    async def progress(self, batch: str) -> Progress | None:
        """Counts of a batch and its first 20 errors, or None."""

    async def newest(self, tenant: str, subject: str | None, limit: int) -> list[Progress]:
        """The batches of a tenant, or of one person, that began last; without their errors."""

    async def pending(self) -> int:
        """Jobs that are not finished."""


class SqlJobQueue:
    """The queue in a table of jobs."""

    def __init__(self, engine: AsyncEngine, worker: str, lease_seconds: float = 60.0) -> None:
        self._engine = engine
        self._writer = read_write(engine)
        self._worker = worker
        self.lease_seconds = lease_seconds

    async def claim(self, limit: int) -> list[Job]:
        """Take jobs that are ready, or whose worker's lease ran out."""
        now = time.time()
        ready = (
            select(jobs.c.id)
            .where(or_(jobs.c.state == "queued", jobs.c.state == "running"), jobs.c.ready_at <= now)
            .order_by(jobs.c.ready_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = (
            update(jobs)
            .where(jobs.c.id.in_(ready.scalar_subquery()))
            .values(state="running", worker=self._worker, attempt=jobs.c.attempt + 1, ready_at=now + self.lease_seconds)
            .returning(jobs)
        )
        async with self._writer.begin() as connection:
            rows = (await connection.execute(taken)).mappings().all()
        claimed = [Job(r["id"], r["batch"], r["tenant"], r["subject"], r["payload"], r["attempt"]) for r in rows]
        return sorted(claimed, key=lambda job: job.id)

    async def heartbeat(self, claimed: Sequence[Job]) -> None:
        """Extend the lease of jobs that are still being worked on."""
        extended = update(jobs).where(_still(claimed), jobs.c.state == "running")
        async with self._writer.begin() as connection:
            await connection.execute(extended.values(ready_at=time.time() + self.lease_seconds))

    async def finish(self, finished: Sequence[Job]) -> None:
        """Mark jobs done; those that somebody else has claimed since are left to him."""
        done = update(jobs).where(_still(finished)).values(state="done", error=None)
        async with self._writer.begin() as connection:
            await connection.execute(done)

    async def fail(self, job: Job, error: str, retry: bool) -> None:
        """Try again with a growing pause, or give up. A worker that was killed does not count as a failure."""
        again = jobs.c.failures + 1 < (MAX_FAILURES if retry else 0)
        values = {
            "failures": jobs.c.failures + 1,
            "state": case((again, "queued"), else_="failed"),
            "ready_at": time.time() + min(2.0**job.attempt, MAX_PAUSE_SECONDS),
            "error": error[:1000],
        }
        async with self._writer.begin() as connection:
            await connection.execute(update(jobs).where(_still([job])).values(**values))

    async def record(
        self, batch: str, tenant: str, subject: str, payload: dict[str, Any], state: str, error: str | None = None
    ) -> None:
        """Add what needs no work to a batch: `done` already, or `failed` for good."""
        now = time.time()
        row = {"id": str(uuid.uuid4()), "batch": batch, "tenant": tenant, "subject": subject, "payload": payload}
        values = {**row, "state": state, "attempt": 0, "error": error, "ready_at": now, "created": now}
        async with self._writer.begin() as connection:
            await connection.execute(insert(jobs).values(**values))

    async def progress(self, batch: str) -> Progress | None:
        """Counts of a batch and its first 20 errors, or None."""
        async with self._engine.connect() as connection:
            counts = select(jobs.c.state, func.count(), func.min(jobs.c.created)).group_by(jobs.c.state)
            counted = (await connection.execute(counts.where(jobs.c.batch == batch))).all()
            if not counted:
                return None
            owner = (
                await connection.execute(select(jobs.c.tenant, jobs.c.subject).where(jobs.c.batch == batch).limit(1))
            ).one()
            failed = select(jobs.c.payload, jobs.c.error).where(jobs.c.batch == batch, jobs.c.state == "failed")
            errors = (await connection.execute(failed.limit(20))).all()
        by_state = {state: count for state, count, _ in counted}
        return Progress(
            batch=batch,
            tenant=owner.tenant,
            subject=owner.subject,
            total=sum(by_state.values()),
            done=by_state.get("done", 0),
            failed=by_state.get("failed", 0),
            created=min(created for _, _, created in counted),
            errors=[{**payload, "error": error} for payload, error in errors],
        )

    async def newest(self, tenant: str, subject: str | None, limit: int) -> list[Progress]:
        """The batches of a tenant, or of one person, that began last; without their errors."""
        mine = jobs.c.tenant == tenant
        if subject is not None:
            mine &= jobs.c.subject == subject
        done, failed = (func.sum(case((jobs.c.state == state, 1), else_=0)) for state in ("done", "failed"))
        began = func.min(jobs.c.created).label("began")
        counted = select(jobs.c.batch, func.min(jobs.c.subject), func.count(), done, failed, began).where(mine)
        order = counted.group_by(jobs.c.batch).order_by(began.desc(), jobs.c.batch).limit(limit)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(order)).all()
        return [Progress(batch, tenant, who, n, good, bad, at, []) for batch, who, n, good, bad, at in rows]

    async def pending(self) -> int:
        """Jobs that are not finished."""
        async with self._engine.connect() as connection:
            waiting = select(func.count()).where(jobs.c.state.in_(["queued", "running"]))
            return int((await connection.execute(waiting)).scalar_one())


def _still(claimed: Sequence[Job]) -> ColumnElement[bool]:
    """These jobs, as far as nobody has claimed them again."""
    return tuple_(jobs.c.id, jobs.c.attempt).in_([(job.id, job.attempt) for job in claimed])
