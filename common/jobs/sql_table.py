"""The table of jobs, and how they come into being. Who has it among others makes it (`common.databases.schema`)."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from common.jobs.job import Job

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
    # How often it was claimed, which tells one worker's claim from another's; how often that ended in an error; and
    # how often it was claimed from a worker that was not heard of any more.
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("lost", Integer, nullable=False, default=0, server_default="0"),
    Column("worker", String(100)),
    Column("ready_at", Float, nullable=False),
    Column("error", String(1000)),
    Column("created", Float, nullable=False),
    Column("ended", Float),
    Index("jobs_by_state", "state", "ready_at"),
    Index("jobs_by_batch", "batch", "state"),
)


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
