"""Followed folders and their files in SQL, beside the catalogue."""

from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import read_write
from common.files import FileState
from common.security.access import Access
from knowledge_base.adapters.sql_schema import SCHEMA
from knowledge_base.adapters.sql_source_tables import files, sources
from knowledge_base.documents import FolderSource, KnownFile


class SqlSources:
    """Implements SourceStore."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = read_write(engine)

    async def open(self) -> None:
        """Make the tables, or bring them up to date."""
        async with self._writer.begin() as connection:
            await connection.run_sync(SCHEMA.bring_up_to_date)

    async def register(self, source: FolderSource) -> FolderSource:
        """See SourceStore."""
        same = (sources.c.tenant == source.tenant) & (sources.c.name == source.name)
        async with self._writer.begin() as connection:
            row = (await connection.execute(select(sources).where(same))).mappings().first()
            if row is None:
                values = {name: getattr(source, name) for name in ("tenant", "name", "root", "owner")}
                rights = [source.access.classification, sorted(source.access.groups), sorted(source.access.owners)]
                await connection.execute(insert(sources).values(**values, access=rights))
                return source
        return _source(row)

    async def registered(self) -> list[FolderSource]:
        """See SourceStore."""
        async with self._engine.connect() as connection:
            return [_source(row) for row in (await connection.execute(select(sources))).mappings()]

    async def files(self, source: FolderSource) -> dict[str, KnownFile]:
        """See SourceStore."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(files).where(_of(source)))).mappings().all()
        return {row["path"]: _known(row) for row in rows}

    async def put(self, source: FolderSource, file: KnownFile) -> None:
        """See SourceStore."""
        values = {
            **file.state._asdict(),
            "digest": file.digest,
            "checked_at": file.checked_at,
            "document_ids": list(file.document_ids),
        }
        async with self._writer.begin() as connection:
            changed = update(files).where(_of(source), files.c.path == file.path).values(**values)
            if not (await connection.execute(changed)).rowcount:
                key = {"tenant": source.tenant, "source": source.name, "path": file.path}
                await connection.execute(insert(files).values(**key, **values))

    async def drop(self, source: FolderSource, path: str) -> None:
        """See SourceStore."""
        async with self._writer.begin() as connection:
            await connection.execute(delete(files).where(_of(source), files.c.path == path))


def _of(source: FolderSource) -> Any:
    return (files.c.tenant == source.tenant) & (files.c.source == source.name)


def _source(row: Any) -> FolderSource:
    level, groups, owners = row["access"]
    access = Access(level, frozenset(groups), frozenset(owners))
    return FolderSource(row["tenant"], row["name"], row["root"], access, row["owner"])


def _known(row: Any) -> KnownFile:
    state = FileState(*(row[name] for name in FileState._fields))
    return KnownFile(row["path"], state, row["digest"], row["checked_at"], tuple(row["document_ids"]))
