"""What the table of jobs tells: batches, dead letters, and how long the queue is."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from common.jobs.job import RECENT_SECONDS, DeadLetter, Depth, Job, Progress
from common.jobs.sql_table import jobs

ERRORS = 20
FAILED = ["failed", "dead"]


def job_of(row: Mapping[Any, Any]) -> Job:
    """A row as a job."""
    names = ("id", "batch", "tenant", "subject", "payload", "attempt", "failures")
    return Job(**{name: row[name] for name in names})


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _counts(now: float) -> list[ColumnElement[Any]]:
    return [
        func.count().label("total"),
        _sum(jobs.c.state == "done").label("done"),
        _sum(jobs.c.state.in_(FAILED)).label("failed"),
        _sum(jobs.c.state == "cancelled").label("cancelled"),
        _sum(jobs.c.ended > now - RECENT_SECONDS).label("recent"),
        func.min(jobs.c.created).label("created"),
        func.max(jobs.c.ended).label("ended"),
        func.min(jobs.c.tenant).label("tenant"),
        func.min(jobs.c.subject).label("subject"),
    ]


def _progress_of(row: Mapping[Any, Any], batch: str, now: float, errors: list[dict[str, Any]]) -> Progress:
    names = ("tenant", "subject", "total", "done", "failed", "cancelled", "recent", "created")
    found = Progress(batch=batch, errors=errors, **{name: row[name] for name in names})
    end = row["ended"] if found.complete and row["ended"] else now
    return Progress(**{**vars(found), "seconds": max(0.0, end - row["created"])})


async def progress(connection: AsyncConnection, batch: str) -> Progress | None:
    """See JobQueue."""
    now = time.time()
    row = (await connection.execute(select(*_counts(now)).where(jobs.c.batch == batch))).mappings().one()
    if not row["total"]:
        return None
    failed = select(jobs.c.payload, jobs.c.error).where(jobs.c.batch == batch, jobs.c.state.in_(FAILED))
    errors = (await connection.execute(failed.limit(ERRORS))).all() if row["failed"] else []
    return _progress_of(row, batch, now, [{**payload, "error": error} for payload, error in errors])


async def newest(connection: AsyncConnection, tenant: str, subject: str | None, limit: int) -> list[Progress]:
    """See JobQueue."""
    now, mine = time.time(), jobs.c.tenant == tenant
    if subject is not None:
        mine &= jobs.c.subject == subject
    grouped = select(jobs.c.batch, *_counts(now)).where(mine).group_by(jobs.c.batch)
    order = grouped.order_by(func.min(jobs.c.created).desc(), jobs.c.batch).limit(limit)
    rows = (await connection.execute(order)).mappings().all()
    return [_progress_of(row, row["batch"], now, []) for row in rows]


async def dead_letters(connection: AsyncConnection, tenant: str | None, limit: int) -> list[DeadLetter]:
    """See JobQueue."""
    found = select(jobs).where(jobs.c.state == "dead").order_by(jobs.c.ended.desc(), jobs.c.id).limit(limit)
    if tenant is not None:
        found = found.where(jobs.c.tenant == tenant)
    rows = (await connection.execute(found)).mappings().all()
    return [_letter(row) for row in rows]


async def dead_letter(connection: AsyncConnection, job_id: str) -> DeadLetter | None:
    """See JobQueue."""
    found = select(jobs).where(jobs.c.id == job_id, jobs.c.state == "dead")
    row = (await connection.execute(found)).mappings().first()
    return _letter(row) if row else None


def _letter(row: Mapping[Any, Any]) -> DeadLetter:
    return DeadLetter(job_of(row), row["error"] or "", row["ended"] or row["created"])


async def depth(connection: AsyncConnection) -> Depth:
    """See JobQueue. A retry that is not due yet, and a lease that holds, are not ready."""
    now = time.time()
    is_ready = jobs.c.ready_at <= now
    first = func.min(case((is_ready, jobs.c.ready_at)))
    grouped = select(jobs.c.state, func.count(), _sum(is_ready), first).group_by(jobs.c.state)
    rows = (await connection.execute(grouped.where(jobs.c.state.in_(["queued", "running", "dead"])))).all()
    counts = {state: count for state, count, _, _ in rows}
    live = [row for row in rows if row[0] != "dead"]
    oldest = min((at for *_, at in live if at is not None), default=now)
    ready = sum(ready for _, _, ready, _ in live)
    return Depth(counts.get("queued", 0), counts.get("running", 0), counts.get("dead", 0), ready, now - oldest)
