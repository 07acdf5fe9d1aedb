"""The catalogue in SQL: SQLite embedded, Postgres where it is configured."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    JSON,
    Column,
    Integer,
    MetaData,
    RowMapping,
    Select,
    SmallInteger,
    String,
    Table,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import jobs
from common.databases import read_write
from common.errors import Conflict, NotFound
from common.security.access import Access, AccessScope
from knowledge_base.documents import Accepted, NewDocument, Published, Version

metadata = MetaData()
documents = Table(
    "documents",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("current_version", Integer),
    Column("latest_version", Integer, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("classification", String(20), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("owners", JSON, nullable=False),
)
readers = Table(
    "document_readers",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("document_id", String(200), primary_key=True),
    Column("label", String(300), primary_key=True),
)
versions = Table(
    "versions",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("document_id", String(200), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("title", String(500), nullable=False),
    Column("name", String(500), nullable=False),
    Column("object_key", String(64), nullable=False),
    Column("text_key", String(64)),
    Column("metadata", JSON, nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("created_by", String(200), nullable=False),
)


def readable(scope: AccessScope) -> Any:
    """The access rule as a SQL condition on `documents`."""
    label = exists().where(
        readers.c.tenant == documents.c.tenant,
        readers.c.document_id == documents.c.id,
        readers.c.label.in_(scope.labels),
    )
    return (documents.c.tenant == scope.tenant) & (documents.c.level <= scope.level) & label


def _joined() -> Select[Any]:
    same = (versions.c.tenant == documents.c.tenant) & (versions.c.document_id == documents.c.id)
    rights = (documents.c.classification, documents.c.groups, documents.c.owners)
    return select(versions, *rights).join_from(documents, versions, same)


def _version(row: RowMapping) -> Version:
    access = Access(row["classification"], frozenset(row["groups"]), frozenset(row["owners"]))
    plain = {column.name: row[column.name] for column in versions.columns}
    return Version(**plain, access=access)


class SqlCatalog:
    """Implements Catalog. Jobs are in the same database, so a version and its job come into being together."""

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
            row = await self._existing(connection, document, None if operator else created_by)
            if row and await self._unchanged(connection, document, object_key, row):
                return Accepted(document.document_id, row["latest_version"], None)
            number = row["latest_version"] + 1 if row else 1
            await self._write_document(connection, document, number, row is None)
            await connection.execute(
                insert(versions).values(
                    tenant=document.tenant,
                    document_id=document.document_id,
                    version=number,
                    title=document.title,
                    name=document.name,
                    object_key=object_key,
                    metadata=dict(document.metadata),
                    created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                    created_by=created_by.subject,
                )
            )
            payload = {"document_id": document.document_id, "version": number, "name": document.name}
            await jobs.enqueue(connection, batch, document.tenant, created_by.subject, [payload])
        return Accepted(document.document_id, number, batch)

    async def _existing(
        self, connection: AsyncConnection, document: NewDocument, scope: AccessScope | None
    ) -> RowMapping | None:
        same = (documents.c.tenant == document.tenant) & (documents.c.id == document.document_id)
        row = (await connection.execute(select(documents).where(same).with_for_update())).mappings().first()
        if row is None or scope is None:
            return row
        if (await connection.execute(select(documents.c.id).where(same, readable(scope)))).first() is None:
            raise Conflict(f"The id {document.document_id} cannot be used.", "Choose another one.")
        return row

    async def _unchanged(
        self, connection: AsyncConnection, document: NewDocument, object_key: str, row: RowMapping
    ) -> bool:
        latest = select(versions).where(
            versions.c.tenant == document.tenant,
            versions.c.document_id == document.document_id,
            versions.c.version == row["latest_version"],
        )
        last = (await connection.execute(latest)).mappings().one()
        access = Access(row["classification"], frozenset(row["groups"]), frozenset(row["owners"]))
        return (
            row["current_version"] == row["latest_version"]
            and access == document.access
            and last["object_key"] == object_key
            and document.title in ("", last["title"])
            and last["metadata"] == dict(document.metadata)
        )

    async def _write_document(
        self, connection: AsyncConnection, document: NewDocument, number: int, is_new: bool
    ) -> None:
        key = {"tenant": document.tenant, "id": document.document_id}
        # Rights count from this moment, also for the versions that are already there.
        values = {
            "latest_version": number,
            "level": document.access.level,
            "classification": document.access.classification,
            "groups": sorted(document.access.groups),
            "owners": sorted(document.access.owners),
        }
        if is_new:
            await connection.execute(insert(documents).values(**key, **values))
        else:
            same = (documents.c.tenant == document.tenant) & (documents.c.id == document.document_id)
            await connection.execute(update(documents).where(same).values(**values))
        mine = (readers.c.tenant == document.tenant) & (readers.c.document_id == document.document_id)
        await connection.execute(delete(readers).where(mine))
        owned = {"tenant": document.tenant, "document_id": document.document_id}
        await connection.execute(insert(readers), [{**owned, "label": label} for label in document.access.readers])

    async def publish(self, published: Sequence[Published]) -> list[Published]:
        """See Catalog."""
        current = []
        async with self._writer.begin() as connection:
            for item in published:
                same = (versions.c.tenant == item.tenant) & (versions.c.document_id == item.document_id)
                await connection.execute(
                    update(versions)
                    .where(same, versions.c.version == item.version)
                    .values(title=item.title[:500], text_key=item.text_key)
                )
                older = or_(documents.c.current_version.is_(None), documents.c.current_version <= item.version)
                mine = (documents.c.tenant == item.tenant) & (documents.c.id == item.document_id)
                flipped = update(documents).where(mine, older).values(current_version=item.version)
                if (await connection.execute(flipped)).rowcount:
                    current.append(item)
        return current

    async def version(self, tenant: str, document_id: str, version: int) -> Version:
        """See Catalog."""
        wanted = (versions.c.tenant == tenant) & (versions.c.document_id == document_id)
        return await self._one(_joined().where(wanted, versions.c.version == version), document_id)

    async def get(self, document_id: str, scope: AccessScope, version: int | None = None) -> Version:
        """See Catalog."""
        number = documents.c.current_version if version is None else version
        wanted = _joined().where(documents.c.id == document_id, readable(scope), versions.c.version == number)
        return await self._one(wanted.where(versions.c.text_key.is_not(None)), document_id)

    async def _one(self, statement: Select[Any], document_id: str) -> Version:
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise NotFound(f"There is no document {document_id} that you may read.", "Use search or list_documents.")
        return _version(row)

    async def current(self, document_ids: Sequence[str], scope: AccessScope) -> dict[str, Version]:
        """See Catalog."""
        wanted = self._current_of(scope).where(documents.c.id.in_(document_ids))
        async with self._engine.connect() as connection:
            rows = (await connection.execute(wanted)).mappings().all()
        return {cast(str, row["document_id"]): _version(row) for row in rows}

    async def page(self, scope: AccessScope, limit: int, after: str = "") -> list[Version]:
        """See Catalog."""
        wanted = self._current_of(scope).where(documents.c.id > after).order_by(documents.c.id).limit(limit)
        async with self._engine.connect() as connection:
            return [_version(row) for row in (await connection.execute(wanted)).mappings().all()]

    def _current_of(self, scope: AccessScope) -> Select[Any]:
        return _joined().where(readable(scope), versions.c.version == documents.c.current_version)
