"""The catalogue in SQL: SQLite embedded, Postgres where it is configured."""

import time
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import RowMapping, Select, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import jobs
from common.databases import read_write
from common.errors import Conflict, NotFound
from common.security.access import Access, AccessScope
from knowledge_base.adapters.sql_tables import (
    access_of,
    documents,
    is_document,
    is_version,
    joined,
    metadata,
    readable,
    readers,
    version_of,
    versions,
)
from knowledge_base.documents import Accepted, NewDocument, Published, Task, Validity, Version
from knowledge_base.filters import Restriction


class SqlCatalog:
    """Implements Catalog. Jobs are in the same database, so a change and its job come into being together."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = read_write(engine)

    async def open(self) -> None:
        """Make the tables that are missing."""
        async with self._writer.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.run_sync(jobs.metadata.create_all)

    async def accept(
        self, document: NewDocument, object_key: str, created_by: AccessScope, batch: str, operator: bool = False
    ) -> Accepted:
        """See Catalog."""
        async with self._writer.begin() as connection:
            row = await _existing(connection, document, None if operator else created_by)
            if row and await _unchanged(connection, document, object_key, row):
                return Accepted(document.document_id, row["latest_version"], None)
            number = row["latest_version"] + 1 if row else 1
            await _write_document(connection, document, number, is_new=row is None)
            await _write_version(connection, document, number, object_key, created_by.subject)
            await _enqueue(
                connection,
                Task("ingest", document.document_id, number, document.name),
                document.tenant,
                created_by,
                batch,
            )
        return Accepted(document.document_id, number, batch)

    async def publish(self, published: Sequence[Published]) -> list[Validity]:
        """See Catalog."""
        ended: list[Validity] = []
        async with self._writer.begin() as connection:
            for item in published:
                ended += await _publish(connection, item)
        return ended

    async def set_access(self, document_id: str, access: Access, scope: AccessScope, batch: str) -> None:
        """See Catalog."""
        async with self._writer.begin() as connection:
            await self._readable_document(connection, document_id, scope)
            await _write_rights(connection, scope.tenant, document_id, access)
            await _enqueue(connection, Task("access", document_id), scope.tenant, scope, batch)

    async def delete(self, document_id: str, scope: AccessScope, batch: str) -> None:
        """See Catalog."""
        async with self._writer.begin() as connection:
            await self._readable_document(connection, document_id, scope)
            mine = (readers.c.tenant == scope.tenant) & (readers.c.document_id == document_id)
            await connection.execute(delete(readers).where(mine))
            tombstone = {"current_version": None, "deleted_at": time.time(), "deleted_by": scope.subject}
            await connection.execute(
                update(documents).where(is_document(scope.tenant, document_id)).values(**tombstone)
            )
            latest = select(func.max(versions.c.version)).where(is_version(scope.tenant, document_id))
            version = (await connection.execute(latest)).scalar_one()
            await _enqueue(connection, Task("erase", document_id, version), scope.tenant, scope, batch)

    async def forget(self, tenant: str, document_id: str, up_to: int) -> list[str]:
        """See Catalog."""
        gone = is_version(tenant, document_id) & (versions.c.version <= up_to)
        kept = is_version(tenant, document_id) & (versions.c.version > up_to)
        columns = (versions.c.object_key, versions.c.text_key)
        async with self._writer.begin() as connection:
            doomed = {key for row in await connection.execute(select(*columns).where(gone)) for key in row if key}
            used = {key for row in await connection.execute(select(*columns).where(kept)) for key in row if key}
            await connection.execute(delete(versions).where(gone))
        return sorted(doomed - used)

    async def latest(self, tenant: str, document_id: str) -> int:
        """See Catalog."""
        found = select(documents.c.latest_version).where(is_document(tenant, document_id))
        async with self._engine.connect() as connection:
            return (await connection.execute(found)).scalar() or 0

    async def access(self, tenant: str, document_id: str) -> Access | None:
        """See Catalog."""
        async with self._engine.connect() as connection:
            found = select(documents).where(is_document(tenant, document_id), documents.c.deleted_at.is_(None))
            row = (await connection.execute(found)).mappings().first()
        return access_of(row) if row else None

    async def version(self, tenant: str, document_id: str, version: int) -> Version:
        """See Catalog."""
        return await self._one(
            joined().where(is_version(tenant, document_id), versions.c.version == version), document_id
        )

    async def get(self, document_id: str, scope: AccessScope, version: int | None = None) -> Version:
        """See Catalog."""
        number = documents.c.current_version if version is None else version
        wanted = joined().where(documents.c.id == document_id, readable(scope), versions.c.version == number)
        return await self._one(wanted.where(versions.c.published_at.is_not(None)), document_id)

    async def history(self, document_id: str, scope: AccessScope) -> list[Version]:
        """See Catalog."""
        wanted = joined().where(documents.c.id == document_id, readable(scope), versions.c.published_at.is_not(None))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(wanted.order_by(versions.c.version.desc()))).mappings().all()
        if not rows:
            raise _unknown(document_id)
        return [version_of(row) for row in rows]

    async def valid(self, document_ids: Sequence[str], restriction: Restriction) -> dict[str, Version]:
        """See Catalog."""
        wanted = _valid(restriction).where(documents.c.id.in_(document_ids))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(wanted)).mappings().all()
        return {cast(str, row["document_id"]): version_of(row) for row in rows}

    async def page(self, restriction: Restriction, limit: int, after: str = "") -> list[Version]:
        """See Catalog."""
        wanted = _valid(restriction).where(documents.c.id > after).order_by(documents.c.id).limit(limit)
        async with self._engine.connect() as connection:
            return [version_of(row) for row in (await connection.execute(wanted)).mappings().all()]

    async def _one(self, statement: Select[Any], document_id: str) -> Version:
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise _unknown(document_id)
        return version_of(row)

    async def _readable_document(self, connection: AsyncConnection, document_id: str, scope: AccessScope) -> None:
        found = select(documents.c.id).where(documents.c.id == document_id, readable(scope))
        if (await connection.execute(found)).first() is None:
            raise _unknown(document_id)


def _now() -> float:
    # Whole milliseconds, as answers show them: the time that somebody reads is a time that as_of knows.
    return int(time.time() * 1000) / 1000


def _unknown(document_id: str) -> NotFound:
    return NotFound(f"There is no document {document_id} that you may read.", "Use search or list_documents.")


def _valid(restriction: Restriction) -> Select[Any]:
    """The version of each readable document that is current, or that was at a time. Rights are those of now."""
    readable_ones, moment = joined().where(readable(restriction.scope)), restriction.as_of
    if moment is None:
        return readable_ones.where(versions.c.version == documents.c.current_version)
    lasted = or_(versions.c.superseded_at.is_(None), versions.c.superseded_at > moment)
    return readable_ones.where(versions.c.published_at <= moment, lasted)


async def _existing(connection: AsyncConnection, document: NewDocument, scope: AccessScope | None) -> RowMapping | None:
    same = is_document(document.tenant, document.document_id)
    row = (await connection.execute(select(documents).where(same).with_for_update())).mappings().first()
    if row is None or scope is None:
        return row
    if (await connection.execute(select(documents.c.id).where(same, readable(scope)))).first() is None:
        raise Conflict(f"The id {document.document_id} cannot be used.", "Choose another one.")
    return row


async def _unchanged(connection: AsyncConnection, document: NewDocument, object_key: str, row: RowMapping) -> bool:
    latest = is_version(document.tenant, document.document_id) & (versions.c.version == row["latest_version"])
    last = (await connection.execute(select(versions).where(latest))).mappings().first()
    return (
        last is not None
        and row["current_version"] == row["latest_version"]
        and access_of(row) == document.access
        and last["object_key"] == object_key
        and document.title in ("", last["title"])
        and last["metadata"] == dict(document.metadata)
    )


async def _write_document(connection: AsyncConnection, document: NewDocument, number: int, is_new: bool) -> None:
    values = {"latest_version": number, "deleted_at": None, "deleted_by": None}
    if is_new:
        rights = {"level": 0, "classification": "public", "groups": [], "owners": []}
        key = {"tenant": document.tenant, "id": document.document_id}
        await connection.execute(insert(documents).values(**key, **values, **rights))
    else:
        same = is_document(document.tenant, document.document_id)
        await connection.execute(update(documents).where(same).values(**values))
    # Rights count from this moment, also for the versions that are already there.
    await _write_rights(connection, document.tenant, document.document_id, document.access)


async def _write_rights(connection: AsyncConnection, tenant: str, document_id: str, access: Access) -> None:
    values = {
        "level": access.level,
        "classification": access.classification,
        "groups": sorted(access.groups),
        "owners": sorted(access.owners),
    }
    await connection.execute(update(documents).where(is_document(tenant, document_id)).values(**values))
    mine = (readers.c.tenant == tenant) & (readers.c.document_id == document_id)
    await connection.execute(delete(readers).where(mine))
    owned = {"tenant": tenant, "document_id": document_id}
    await connection.execute(insert(readers), [{**owned, "label": label} for label in access.readers])


async def _write_version(
    connection: AsyncConnection, document: NewDocument, number: int, object_key: str, created_by: str
) -> None:
    values = {
        "tenant": document.tenant,
        "document_id": document.document_id,
        "version": number,
        "title": document.title,
        "name": document.name,
        "object_key": object_key,
        "metadata": dict(document.metadata),
        "created_at": document.created_at or _now(),
        "created_by": created_by,
    }
    await connection.execute(insert(versions).values(**values))


async def _enqueue(connection: AsyncConnection, task: Task, tenant: str, scope: AccessScope, batch: str) -> None:
    await jobs.enqueue(connection, batch, tenant, scope.subject, [task.payload])


async def _publish(connection: AsyncConnection, item: Published) -> list[Validity]:
    """Publish one version; returns the versions whose time ended by it."""
    same = is_version(item.tenant, item.document_id)
    later = select(func.min(versions.c.published_at)).where(same, versions.c.version > item.version)
    ends = (await connection.execute(later)).scalar_one()
    values = {"title": item.title[:500], "text_key": item.text_key, "published_at": item.at, "superseded_at": ends}
    await connection.execute(update(versions).where(same, versions.c.version == item.version).values(**values))
    older = same & (versions.c.version < item.version) & versions.c.published_at.is_not(None)
    still = or_(versions.c.superseded_at.is_(None), versions.c.superseded_at > item.at)
    ended = update(versions).where(older, still).values(superseded_at=item.at).returning(versions.c.version)
    numbers = (await connection.execute(ended)).scalars().all()
    newer = or_(documents.c.current_version.is_(None), documents.c.current_version < item.version)
    alive = is_document(item.tenant, item.document_id) & documents.c.deleted_at.is_(None)
    await connection.execute(update(documents).where(alive, newer).values(current_version=item.version))
    over = [Validity(item.tenant, item.document_id, number, item.at) for number in numbers]
    return over + ([Validity(item.tenant, item.document_id, item.version, ends)] if ends is not None else [])
