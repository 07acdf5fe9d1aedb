"""Followed folders and their files in MongoDB, beside the catalogue."""

from typing import Any

from common.files import FileState
from common.security.access import Access
from knowledge_base.documents import FolderSource, KnownFile

_TEXT = {"bsonType": "string"}
SOURCE = {"bsonType": "object", "required": ["tenant", "name", "root", "owner"], "properties": {"root": _TEXT}}
FILE = {"bsonType": "object", "required": ["tenant", "source", "path", "state"], "properties": {"path": _TEXT}}


class MongoSources:
    """Implements SourceStore."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._sources, self._files = database["sources"], database["source_files"]

    async def open(self) -> None:
        """Make the collections that are missing."""
        from common.databases.mongodb import prepare_collection

        one_source, one_file = [("tenant", 1), ("name", 1)], [("tenant", 1), ("source", 1), ("path", 1)]
        await prepare_collection(self._database, "sources", SOURCE, {"by_name": one_source}, ("by_name",))
        await prepare_collection(self._database, "source_files", FILE, {"by_path": one_file}, ("by_path",))

    async def register(self, source: FolderSource) -> FolderSource:
        """See SourceStore."""
        from pymongo import ReturnDocument

        rights = {
            "classification": source.access.classification,
            "groups": sorted(source.access.groups),
            "owners": sorted(source.access.owners),
        }
        row = await self._sources.find_one_and_update(
            {"tenant": source.tenant, "name": source.name},
            {"$setOnInsert": {"root": source.root, "owner": source.owner, **rights}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return _source(row)

    async def registered(self) -> list[FolderSource]:
        """See SourceStore."""
        return [_source(row) async for row in self._sources.find()]

    async def files(self, source: FolderSource) -> dict[str, KnownFile]:
        """See SourceStore."""
        return {row["path"]: _known(row) async for row in self._files.find(_of(source))}

    async def put(self, source: FolderSource, file: KnownFile) -> None:
        """See SourceStore."""
        values = {
            "state": file.state._asdict(),
            "digest": file.digest,
            "checked_at": file.checked_at,
            "document_ids": list(file.document_ids),
        }
        await self._files.update_one({**_of(source), "path": file.path}, {"$set": values}, upsert=True)

    async def drop(self, source: FolderSource, path: str) -> None:
        """See SourceStore."""
        await self._files.delete_one({**_of(source), "path": path})


def _of(source: FolderSource) -> dict[str, str]:
    return {"tenant": source.tenant, "source": source.name}


def _source(row: dict[str, Any]) -> FolderSource:
    access = Access(row["classification"], frozenset(row["groups"]), frozenset(row["owners"]))
    return FolderSource(row["tenant"], row["name"], row["root"], access, row["owner"])


def _known(row: dict[str, Any]) -> KnownFile:
    state = FileState(**row["state"])
    return KnownFile(row["path"], state, row["digest"], row["checked_at"], tuple(row["document_ids"]))
