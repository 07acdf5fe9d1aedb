"""The catalogue in SQL: SQLite embedded, Postgres where it is configured."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, delete, literal, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import among, read_write, single
from common.errors import Conflict, NotFound
from common.jobs import Job
from common.jobs.sql_table import enqueue
from common.security.access import Access, AccessScope
from knowledge_base.adapters.sql_accept import accept, write_rights
from knowledge_base.adapters.sql_adopt import adopt
from knowledge_base.adapters.sql_browse import facets_of, page_of, position_of
from knowledge_base.adapters.sql_filter import facts, satisfies
from knowledge_base.adapters.sql_publish import publish
from knowledge_base.adapters.sql_schema import SCHEMA
from knowledge_base.adapters.sql_tables import (
    access_of,
    documents,
    is_document,
    is_version,
    joined,
    readable,
    readers,
    version_of,
    versions,
)
from knowledge_base.browsing import BY_ID, Facets, Position, Sort
from knowledge_base.documents import Accepted, Counting, Publication, Published, Stored, Task, Version
from knowledge_base.filters import Restriction

TRIES = 3


class SqlCatalog:
    """Implements Catalog. Jobs are in the same database, so a change and its job come into being together."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = read_write(engine)

    async def open(self) -> None:
        """Make the tables, or bring them up to date."""
        async with self._writer.begin() as connection:
            await connection.run_sync(SCHEMA.bring_up_to_date)

    async def lives(self, tenant: str, document_ids: Sequence[str]) -> dict[str, int]:
        """See Catalog."""
        these = (documents.c.tenant == tenant) & documents.c.id.in_(document_ids) & (documents.c.erased_to > 0)
        async with self._engine.connect() as connection:
            found = await connection.execute(select(documents.c.id, documents.c.erased_to).where(these))
            return {row.id: row.erased_to for row in found}

    async def accept(
        self, offered: Sequence[Stored], created_by: AccessScope, batch: str, operator: bool = False
    ) -> list[Accepted | Conflict | None]:
        """See Catalog."""
        for attempt in range(1, TRIES + 1):
            try:
                async with self._writer.begin() as connection:
                    return await accept(connection, offered, created_by, batch, operator)
            except IntegrityError:
                # Somebody else made one of these documents in between: it is there now, and can be locked.
                if attempt == TRIES:
                    raise
        raise AssertionError

    async def publish(self, published: Sequence[Published]) -> Publication:
        """See Catalog."""
        async with self._writer.begin() as connection:
            return await publish(connection, published)

    async def set_access(self, document_id: str, access: Access, scope: AccessScope, batch: str, delay: float) -> Job:
        """See Catalog."""
        task = Task("access", document_id)
        async with self._writer.begin() as connection:
            await self._readable_document(connection, document_id, scope)
            await write_rights(connection, scope.tenant, {document_id: access})
            [job] = await enqueue(connection, batch, scope.tenant, scope.subject, [task.payload], delay)
        return job

    async def delete(self, document_id: str, scope: AccessScope, batch: str, operator: bool = False) -> None:
        """See Catalog."""
        async with self._writer.begin() as connection:
            if not operator:
                await self._readable_document(connection, document_id, scope)
            this = is_document(scope.tenant, document_id)
            found = select(documents.c.latest_version, documents.c.erased_to).where(this).with_for_update()
            latest, life = (await connection.execute(found)).one()
            mine = (readers.c.tenant == scope.tenant) & (readers.c.document_id == document_id)
            await connection.execute(delete(readers).where(mine))
            tombstone = {"current_version": None, "deleted_at": time.time(), "deleted_by": scope.subject}
            await connection.execute(update(documents).where(this).values(erased_to=latest, **tombstone))
            task = Task("erase", document_id, latest, life=life)
            await enqueue(connection, batch, scope.tenant, scope.subject, [task.payload])

    async def forget(self, tenant: str, document_id: str, up_to: int) -> None:
        """See Catalog."""
        async with self._writer.begin() as connection:
            gone = is_version(tenant, document_id) & (versions.c.version <= up_to)
            await connection.execute(delete(versions).where(gone))
            mine = (facts.c.tenant == tenant) & (facts.c.document_id == document_id)
            await connection.execute(delete(facts).where(mine, facts.c.version <= up_to))

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

    async def versions(self, wanted: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], Version]:
        """See Catalog."""
        # Row values would say it in one condition, but SQLite reads the whole table for them.
        tenants, ids, numbers = ({each[place] for each in wanted} for place in range(3))
        near = versions.c.tenant.in_(tenants) & versions.c.document_id.in_(ids) & versions.c.version.in_(numbers)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(joined().where(near))).mappings().all()
        keys = set(wanted)
        found = ((row["tenant"], row["document_id"], row["version"]) for row in rows)
        return {key: version_of(row) for key, row in zip(found, rows, strict=True) if key in keys}

    async def published(self, after: tuple[str, str, int] | None, limit: int) -> list[Version]:
        """See Catalog."""
        key = (versions.c.tenant, versions.c.document_id, versions.c.version)
        found = joined().where(versions.c.published_at.is_not(None)).order_by(*key).limit(limit)
        if after is not None:
            found = found.where(tuple_(*key) > tuple_(*(literal(part) for part in after)))
        async with self._engine.connect() as connection:
            return [version_of(row) for row in (await connection.execute(found)).mappings()]

    async def adopt(self, versions: Sequence[Version], life: int) -> bool:
        """See Catalog."""
        async with self._writer.begin() as connection:
            return await adopt(connection, versions, life)

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

    async def valid(self, document_ids: Sequence[str], restriction: Restriction) -> dict[str, Counting]:
        """See Catalog."""
        is_current = versions.c.version == documents.c.current_version
        columns = (versions.c.document_id, versions.c.version, versions.c.published_at, is_current)
        wanted = _valid(restriction).where(among(documents.c.id, document_ids)).with_only_columns(*columns)
        async with single(self._engine).connect() as connection:
            return {row[0]: Counting(*row[1:]) for row in await connection.execute(wanted)}

    async def page(
        self, restriction: Restriction, limit: int, sort: Sort = BY_ID, after: Position | None = None
    ) -> list[tuple[Version, Position]]:
        """See Catalog."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(page_of(_valid(restriction), sort, after, limit))).mappings().all()
        return [(version_of(row), position_of(row)) for row in rows]

    async def facets(self, restriction: Restriction, fields: Sequence[str], top: int) -> Facets:
        """See Catalog."""
        async with self._engine.connect() as connection:
            return await facets_of(connection, _valid(restriction), fields, top)

    async def _one(self, statement: Select[Any], document_id: str) -> Version:
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise _unknown(document_id)
        return version_of(row)

    async def _readable_document(self, connection: AsyncConnection, document_id: str, scope: AccessScope) -> None:
        found = select(documents.c.id).where(documents.c.id == document_id, readable(scope)).with_for_update()
        if (await connection.execute(found)).first() is None:
            raise _unknown(document_id)


def _unknown(document_id: str) -> NotFound:
    return NotFound(f"There is no document {document_id} that you may read.", "Use search or list_documents.")


def _valid(restriction: Restriction) -> Select[Any]:
    """The version of each readable document that is current, or that was at a time. Rights are those of now."""
    readable_ones, moment = joined().where(*map(readable, restriction.scopes)), restriction.as_of
    if restriction.where is not None:
        readable_ones = readable_ones.where(satisfies(restriction.where))
    if moment is None:
        return readable_ones.where(versions.c.version == documents.c.current_version)
    lasted = or_(versions.c.superseded_at.is_(None), versions.c.superseded_at > moment)
    return readable_ones.where(versions.c.published_at <= moment, lasted)
