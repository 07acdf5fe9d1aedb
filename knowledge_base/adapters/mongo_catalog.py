"""The catalogue in MongoDB, with its jobs. See mongo_documents for how a change stays whole."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from common.errors import Conflict, NotFound
from common.jobs import Job
from common.security.access import Access, AccessScope
from knowledge_base.acceptance import moment
from knowledge_base.adapters.mongo_browse import facets_from, facets_of, page_of, position_of, selection
from knowledge_base.adapters.mongo_changes import accepted, copied_row, published_of
from knowledge_base.adapters.mongo_documents import (
    SCHEMA,
    Row,
    access_of,
    changed,
    living,
    new_row,
    readable,
    set_current,
    set_rights,
    version_of,
)
from knowledge_base.adapters.mongo_jobs import hand_over, job_of, job_row, prepare_jobs
from knowledge_base.browsing import BY_ID, Facets, Position, Sort
from knowledge_base.documents import Accepted, Counting, Publication, Published, Stored, Task, Validity, Version
from knowledge_base.filters import Restriction

AT_ONCE = 8
"""Documents of a group that are written at the same time."""
INDEXES: dict[str, list[tuple[str, int]]] = {
    "by_id": [("tenant", 1), ("id", 1)],
    "by_reader": [("tenant", 1), ("readers", 1), ("level", 1)],
    "by_fact": [("tenant", 1), ("current.facts.k", 1), ("current.facts.v", 1)],
    "to_be_handed_over": [("outbox.created", 1)],
}
_WHOLE_TEXT = {"current.facts": 0, "versions.facts": 0, "outbox": 0}


class MongoCatalog:
    """Implements Catalog."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._documents = database["documents"]
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def open(self) -> None:
        """Make collections, schema and indexes that are missing, or renew them."""
        from common.databases.mongodb import prepare_collection

        await prepare_collection(self._database, "documents", SCHEMA, INDEXES, unique=("by_id",))
        await prepare_jobs(self._database)

    async def lives(self, tenant: str, document_ids: Sequence[str]) -> dict[str, int]:
        """See Catalog."""
        these = {"tenant": tenant, "id": {"$in": list(document_ids)}, "life": {"$gt": 0}}
        return {row["id"]: row["life"] async for row in self._documents.find(these, {"id": 1, "life": 1})}

    async def accept(
        self, offered: Sequence[Stored], created_by: AccessScope, batch: str, operator: bool = False
    ) -> list[Accepted | Conflict | None]:
        """See Catalog. Each document is taken with its job at once; the group is not one transaction."""
        by_id: dict[str, list[Stored]] = {}
        for item in offered:
            by_id.setdefault(item.document.document_id, []).append(item)
        at = moment()
        jobs: list[Row] = []

        async def accept_one(document_id: str) -> list[Accepted | Conflict | None]:
            async with self._turns:
                answers, rows = await changed(
                    self._documents,
                    created_by.tenant,
                    document_id,
                    lambda row: accepted(row, by_id[document_id], created_by, batch, operator, at),
                )
            jobs.extend(rows)
            return answers

        found = await _all([accept_one(document_id) for document_id in by_id])
        await hand_over(self._database, created_by.tenant, jobs)
        answers = {document_id: iter(each) for document_id, each in zip(by_id, found, strict=True)}
        return [next(answers[item.document.document_id]) for item in offered]

    async def publish(self, published: Sequence[Published]) -> Publication:
        """See Catalog. Each document at once; the group is not one transaction."""
        by_place: dict[tuple[str, str], list[Published]] = {}
        for item in published:
            by_place.setdefault((item.tenant, item.document_id), []).append(item)

        async def publish_one(place: tuple[str, str]) -> tuple[list[Validity], list[Access | None]]:
            async with self._turns:
                return await changed(self._documents, *place, lambda row: published_of(row, by_place[place]))

        found = dict(zip(by_place, await _all([publish_one(place) for place in by_place]), strict=True))
        rights = {place: iter(each) for place, (_, each) in found.items()}
        ended = [over for each, _ in found.values() for over in each]
        return Publication(ended, [next(rights[item.tenant, item.document_id]) for item in published])

    async def set_access(self, document_id: str, access: Access, scope: AccessScope, batch: str, delay: float) -> Job:
        """See Catalog."""
        await self._readable(document_id, scope)
        job = job_row(batch, scope, Task("access", document_id).payload, delay)

        def change(row: Row | None) -> tuple[bool, Row | None]:
            if row is None or not _may_read(row, scope):
                return False, None
            set_rights(row, access)
            row["outbox"].append(job)
            return True, row

        if not await changed(self._documents, scope.tenant, document_id, change):
            raise _unknown(document_id)
        await hand_over(self._database, scope.tenant, [job])
        return job_of(job)

    async def delete(self, document_id: str, scope: AccessScope, batch: str, operator: bool = False) -> None:
        """See Catalog."""
        if not operator:
            await self._readable(document_id, scope)

        def change(row: Row | None) -> tuple[Row | None, Row | None]:
            if row is None or not (operator or _may_read(row, scope)):
                return None, None
            job = job_row(batch, scope, Task("erase", document_id, row["latest"], life=row["life"]).payload)
            for version in row["versions"]:
                version["published_at"] = None  # at no time it was ever there
            gone = {"life": row["latest"], "current": None, "readers": []}
            row |= {**gone, "deleted_at": time.time(), "deleted_by": scope.subject}
            row["outbox"].append(job)
            return job, row

        job = await changed(self._documents, scope.tenant, document_id, change)
        if job is None:
            raise _unknown(document_id)
        await hand_over(self._database, scope.tenant, [job])

    async def forget(self, tenant: str, document_id: str, up_to: int) -> None:
        """See Catalog."""

        def change(row: Row | None) -> tuple[None, Row | None]:
            if row is None:
                return None, None
            row["versions"] = [version for version in row["versions"] if version["version"] > up_to]
            return None, row

        await changed(self._documents, tenant, document_id, change)

    async def latest(self, tenant: str, document_id: str) -> int:
        """See Catalog."""
        row = await self._documents.find_one({"tenant": tenant, "id": document_id}, {"latest": 1})
        return int(row["latest"]) if row else 0

    async def access(self, tenant: str, document_id: str) -> Access | None:
        """See Catalog."""
        this = {"tenant": tenant, "id": document_id, "deleted_at": None}
        row = await self._documents.find_one(this, {"classification": 1, "groups": 1, "owners": 1})
        return access_of(row) if row else None

    async def versions(self, wanted: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], Version]:
        """See Catalog."""
        keys = set(wanted)
        if not keys:
            return {}
        tenants = {tenant for tenant, _, _ in keys}
        near = [{"tenant": t, "id": {"$in": sorted({i for tenant, i, _ in keys if tenant == t})}} for t in tenants]
        found: dict[tuple[str, str, int], Version] = {}
        async for row in self._documents.find({"$or": near}, _WHOLE_TEXT):
            for version in living(row):
                key = (row["tenant"], row["id"], version["version"])
                if key in keys:
                    found[key] = version_of(row, version)
        return found

    async def published(self, after: tuple[str, str, int] | None, limit: int) -> list[Version]:
        """See Catalog."""
        start: Row = {}
        if after is not None:
            tenant, document_id, _ = after
            start = {"$or": [{"tenant": {"$gt": tenant}}, {"tenant": tenant, "id": {"$gte": document_id}}]}
        found: list[Version] = []
        # One more than is wanted, since of the first document all may be known.
        rows = self._documents.find(start, _WHOLE_TEXT).sort([("tenant", 1), ("id", 1)]).limit(limit + 1)
        async for row in rows:
            for version in sorted(living(row), key=lambda each: int(each["version"])):
                key = (row["tenant"], row["id"], version["version"])
                if version["published_at"] is not None and (after is None or key > after):
                    found.append(version_of(row, version))
        if not found and (last := await self._last(start, limit + 1)):
            return await self.published(last, limit)
        return found[:limit]

    async def _last(self, start: Row, count: int) -> tuple[str, str, int] | None:
        """Behind a page of documents without anything published; None if it was the end."""
        rows = (
            await self._documents.find(start, {"tenant": 1, "id": 1})
            .sort([("tenant", 1), ("id", 1)])
            .limit(count)
            .to_list()
        )
        return (rows[-1]["tenant"], rows[-1]["id"], 2**31) if len(rows) == count else None

    async def adopt(self, versions: Sequence[Version], life: int) -> bool:
        """See Catalog."""
        first = versions[0]

        def change(row: Row | None) -> tuple[bool, Row | None]:
            if row is not None:
                return False, None
            made = new_row(first.tenant, first.document_id)
            made |= {"life": life, "latest": max(version.version for version in versions)}
            made["versions"] = [copied_row(version) for version in versions]
            set_current(made, next((version.version for version in versions if version.is_current), None))
            set_rights(made, first.access)
            return True, made

        return await changed(self._documents, first.tenant, first.document_id, change)

    async def get(self, document_id: str, scope: AccessScope, version: int | None = None) -> Version:
        """See Catalog."""
        for found in await self.history(document_id, scope):
            if found.is_current if version is None else found.version == version:
                return found
        raise _unknown(document_id)

    async def history(self, document_id: str, scope: AccessScope) -> list[Version]:
        """See Catalog."""
        row = await self._readable(document_id, scope)
        shown = [version_of(row, version) for version in living(row) if version["published_at"] is not None]
        if not shown:
            raise _unknown(document_id)
        return sorted(shown, key=lambda found: -found.version)

    async def valid(self, document_ids: Sequence[str], restriction: Restriction) -> dict[str, Counting]:
        """See Catalog."""
        columns = {"id": 1, "version": "$v.version", "at": "$v.published_at", "current": "$current.version"}
        rows = await self._aggregated([*selection(restriction, document_ids), {"$project": columns}])
        return {row["id"]: Counting(row["version"], row["at"], row["version"] == row.get("current")) for row in rows}

    async def page(
        self, restriction: Restriction, limit: int, sort: Sort = BY_ID, after: Position | None = None
    ) -> list[tuple[Version, Position]]:
        """See Catalog."""
        rows = await self._aggregated([*selection(restriction), *page_of(sort, after, limit)])
        return [(version_of(row, row["v"]), position_of(row)) for row in rows]

    async def facets(self, restriction: Restriction, fields: Sequence[str], top: int) -> Facets:
        """See Catalog."""
        chosen = selection(restriction)
        counted = await self._aggregated([*chosen, {"$count": "total"}])
        rows = await self._aggregated([*chosen, *facets_of(fields, top)])
        return facets_from(counted[0]["total"] if counted else 0, rows)

    async def _aggregated(self, stages: Sequence[Row]) -> list[Row]:
        rows: list[Row] = await (await self._documents.aggregate(list(stages), allowDiskUse=True)).to_list()
        return rows

    async def _readable(self, document_id: str, scope: AccessScope) -> Row:
        row: Row | None = await self._documents.find_one({"$and": [{"id": document_id}, readable(scope)]}, _WHOLE_TEXT)
        if row is None:
            raise _unknown(document_id)
        return row


def _may_read(row: Row, scope: AccessScope) -> bool:
    """The rule once more, on what is there now: it may have changed since the query."""
    return row["level"] <= scope.level and bool(set(row["readers"]) & set(scope.labels))


def _unknown(document_id: str) -> NotFound:
    return NotFound(f"There is no document {document_id} that you may read.", "Use search or list_documents.")


async def _all(work: Sequence[Any]) -> list[Any]:
    """All of them, to the end; then the first failure is raised."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return list(done)
