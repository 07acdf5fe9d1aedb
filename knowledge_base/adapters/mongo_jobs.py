"""The job queue in MongoDB. A job is born in the document that it is about, and handed over to the queue.

Who dies in between leaves it in the document's outbox; whoever claims jobs or asks how many there are next hands it
over. It has its id from the beginning, so that handing over twice is harmless.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from common.jobs import DeadLetter, Depth, Job, Progress, Retry
from common.jobs.claims import Claims, as_new
from common.jobs.job import RECENT_SECONDS
from common.security.access import AccessScope

Row = dict[str, Any]
ERRORS = 20
FAILED, LIVE = ["failed", "dead"], ["queued", "running"]
LEFT_SECONDS = 5.0
"""An outbox that is older was left by somebody who died."""
_NUMBER = {"bsonType": ["double", "int", "long"]}
SCHEMA = {
    "bsonType": "object",
    "required": ["_id", "batch", "tenant", "subject", "payload", "state", "attempt", "ready_at", "created"],
    "properties": {
        "state": {"enum": ["queued", "running", "done", "failed", "dead", "cancelled"]},
        "payload": {"bsonType": "object"},
        **dict.fromkeys(("attempt", "failures", "lost", "ready_at", "created"), _NUMBER),
    },
}
INDEXES: dict[str, list[tuple[str, int]]] = {
    "by_state": [("state", 1), ("ready_at", 1)],
    "by_batch": [("batch", 1), ("state", 1)],
    "by_claim": [("claim", 1)],
    "by_tenant": [("tenant", 1), ("created", -1)],
}


async def prepare_jobs(database: Any) -> None:
    """The queue's collection."""
    from common.databases.mongodb import prepare_collection

    await prepare_collection(database, "jobs", SCHEMA, INDEXES)


def job_row(batch: str, who: AccessScope, payload: Mapping[str, Any], delay: float = 0.0) -> Row:
    """A new job; no worker takes it before `delay` seconds are over."""
    now = time.time()
    row: Row = {"_id": str(uuid.uuid4()), "batch": batch, "tenant": who.tenant, "subject": who.subject}
    counts = {"attempt": 0, "failures": 0, "lost": 0}
    return {**row, "payload": dict(payload), "state": "queued", **counts, "ready_at": now + delay, "created": now}


def job_of(row: Mapping[str, Any]) -> Job:
    """A row as a job."""
    names = ("batch", "tenant", "subject", "payload", "attempt", "failures")
    return Job(id=row["_id"], **{name: row[name] for name in names})


async def hand_over(database: Any, tenant: str, jobs: Sequence[Row]) -> None:
    """From the outbox of their documents into the queue. Safe to repeat, also beside others."""
    from pymongo import UpdateOne

    if not jobs:
        return
    await database["jobs"].bulk_write(
        [UpdateOne({"_id": row["_id"]}, {"$setOnInsert": _without_id(row)}, upsert=True) for row in jobs], ordered=False
    )
    ids, names = [row["_id"] for row in jobs], sorted({row["payload"]["document_id"] for row in jobs})
    # The version check is not for this: whoever puts a job back has it handed over once more, which is nothing.
    these = {"tenant": tenant, "id": {"$in": names}}
    await database["documents"].update_many(these, {"$pull": {"outbox": {"_id": {"$in": ids}}}})


async def hand_over_left(database: Any) -> None:
    """What somebody who died did not hand over."""
    left = {"outbox.created": {"$lt": time.time() - LEFT_SECONDS}}
    async for row in database["documents"].find(left, {"tenant": 1, "outbox": 1}).limit(100):
        await hand_over(database, row["tenant"], row["outbox"])


class MongoJobQueue(Claims):
    """Implements JobQueue."""

    def __init__(self, database: Any, worker: str, lease_seconds: float = 60.0, retry: Retry | None = None) -> None:
        super().__init__(worker, lease_seconds, retry)
        self._database = database
        self._jobs = database["jobs"]

    async def claim(self, limit: int) -> list[Job]:
        """See JobQueue."""
        await hand_over_left(self._database)
        now, claim = time.time(), str(uuid.uuid4())
        ready = {"state": {"$in": LIVE}, "ready_at": {"$lte": now}}
        found = self._jobs.find(ready, {"_id": 1}).sort("ready_at", 1).limit(limit)
        ids = [row["_id"] async for row in found]
        if not ids:
            return []
        # Of two that saw the same job only one finds it ready still: each job is changed at once, and by itself.
        taken = {"worker": self._worker, "claim": claim, "ready_at": now + self.lease_seconds}
        for state in ("running", "queued"):  # in this order, or what was queued would be taken twice
            grown = {"attempt": 1, "lost": 1 if state == "running" else 0}
            these = {"_id": {"$in": ids}, "state": state, "ready_at": {"$lte": now}}
            await self._jobs.update_many(these, {"$set": {**taken, "state": "running"}, "$inc": grown})
        rows = await self._jobs.find({"claim": claim, "state": "running"}).to_list()
        if fatal := [row["_id"] for row in rows if row["lost"] > self._retry.max_lost]:
            given_up = self._given_up(now)
            await self._jobs.update_many({"_id": {"$in": fatal}, "claim": claim}, {"$set": given_up})
        return sorted((job_of(row) for row in rows if row["_id"] not in fatal), key=lambda job: job.id)

    async def _update(self, claimed: Sequence[Job], **values: Any) -> None:
        """These jobs, as far as nobody has claimed them again, or ended them."""
        if claimed:
            same = [{"_id": job.id, "attempt": job.attempt, "state": {"$in": LIVE}} for job in claimed]
            await self._jobs.update_many({"$or": same}, {"$set": values})

    async def record(
        self, batch: str, tenant: str, subject: str, payload: dict[str, Any], state: str, error: str | None = None
    ) -> None:
        """See JobQueue."""
        row = job_row(batch, AccessScope(tenant, subject), payload)
        await self._jobs.insert_one({**row, "state": state, "error": error, "ended": row["created"]})

    async def cancel(self, batch: str, kind: str) -> int:
        """See JobQueue."""
        waiting = {"batch": batch, "state": "queued", "payload.kind": kind}
        done = await self._jobs.update_many(waiting, {"$set": {"state": "cancelled", "ended": time.time()}})
        return int(done.modified_count)

    async def replay(self, job_ids: Sequence[str]) -> int:
        """See JobQueue."""
        again = as_new(time.time())
        done = await self._jobs.update_many({"_id": {"$in": list(job_ids)}, "state": "dead"}, {"$set": again})
        return int(done.modified_count)

    async def progress(self, batch: str) -> Progress | None:
        """See JobQueue."""
        now = time.time()
        rows = await self._aggregated([{"$match": {"batch": batch}}, {"$group": _counts(now)}])
        if not rows:
            return None
        failed = self._jobs.find({"batch": batch, "state": {"$in": FAILED}}, {"payload": 1, "error": 1}).limit(ERRORS)
        errors = [{**row["payload"], "error": row.get("error")} async for row in failed] if rows[0]["failed"] else []
        return _progress_of(rows[0], now, errors)

    async def newest(self, tenant: str, subject: str | None, limit: int) -> list[Progress]:
        """See JobQueue."""
        now, mine = time.time(), {"tenant": tenant} | ({} if subject is None else {"subject": subject})
        order: list[Row] = [{"$sort": {"created": -1, "_id": 1}}, {"$limit": limit}]
        rows = await self._aggregated([{"$match": mine}, {"$group": _counts(now)}, *order])
        return [_progress_of(row, now, []) for row in rows]

    async def dead_letters(self, tenant: str | None, limit: int) -> list[DeadLetter]:
        """See JobQueue."""
        these = {"state": "dead"} | ({} if tenant is None else {"tenant": tenant})
        found = self._jobs.find(these).sort([("ended", -1), ("_id", 1)]).limit(limit)
        return [_letter(row) async for row in found]

    async def dead_letter(self, job_id: str) -> DeadLetter | None:
        """See JobQueue."""
        row = await self._jobs.find_one({"_id": job_id, "state": "dead"})
        return _letter(row) if row else None

    async def depth(self) -> Depth:
        """See JobQueue."""
        # Workers that wait for a bell claim nothing before this tells them that there is something.
        await hand_over_left(self._database)
        now = time.time()
        is_ready = {"$lte": ["$ready_at", now]}
        counts = {"count": {"$sum": 1}, "ready": {"$sum": {"$cond": [is_ready, 1, 0]}}, "first": {"$min": "$ready_at"}}
        these = {"$match": {"state": {"$in": [*LIVE, "dead"]}}}
        rows = {row["_id"]: row for row in await self._aggregated([these, {"$group": {"_id": "$state", **counts}}])}
        numbers = {state: row["count"] for state, row in rows.items()}
        live = [rows[state] for state in LIVE if state in rows]
        oldest = min((row["first"] for row in live if row["ready"]), default=now)
        ready = sum(row["ready"] for row in live)
        return Depth(numbers.get("queued", 0), numbers.get("running", 0), numbers.get("dead", 0), ready, now - oldest)

    async def pending(self) -> int:
        """See JobQueue."""
        return int(await self._jobs.count_documents({"state": {"$in": LIVE}}))

    async def _aggregated(self, stages: Sequence[Row]) -> list[Row]:
        rows: list[Row] = await (await self._jobs.aggregate(list(stages), allowDiskUse=True)).to_list()
        return rows


def _without_id(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "_id"}


def _counts(now: float) -> Row:
    def number(condition: Row) -> Row:
        return {"$sum": {"$cond": [condition, 1, 0]}}

    return {
        "_id": "$batch",
        "total": {"$sum": 1},
        "done": number({"$eq": ["$state", "done"]}),
        "failed": number({"$in": ["$state", FAILED]}),
        "cancelled": number({"$eq": ["$state", "cancelled"]}),
        "recent": number({"$gt": [{"$ifNull": ["$ended", 0.0]}, now - RECENT_SECONDS]}),
        "created": {"$min": "$created"},
        "ended": {"$max": "$ended"},
        "tenant": {"$min": "$tenant"},
        "subject": {"$min": "$subject"},
    }


def _progress_of(row: Row, now: float, errors: list[Row]) -> Progress:
    names = ("tenant", "subject", "total", "done", "failed", "cancelled", "recent", "created")
    found = Progress(batch=row["_id"], errors=errors, **{name: row[name] for name in names})
    end = row["ended"] if found.complete and row["ended"] else now
    return Progress(**{**vars(found), "seconds": max(0.0, end - row["created"])})


def _letter(row: Row) -> DeadLetter:
    return DeadLetter(job_of(row), row.get("error") or "", row.get("ended") or row["created"])
