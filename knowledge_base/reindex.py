"""Makes the search index again from catalogue and objects: after a loss, or for another model.

Servers may go on meanwhile. It is safe to repeat, and what changes beside it wins: rights and deletions are looked at
again after chunks were written.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from common.errors import NotFound
from knowledge_base.chunking import chunk, embedding_text
from knowledge_base.documents import Chunk, IndexedChunk, Validity, Vector, Version
from knowledge_base.ports import Catalog, ChunkIndex, Embedder, ObjectStore
from knowledge_base.worker import IngestWorker

BATCH = 32
"""Versions that share one commit of the index."""
Place = tuple[str, str, int]


class Reindex:
    """Writes the chunks of every published version."""

    def __init__(
        self, catalog: Catalog, objects: ObjectStore, embedder: Embedder, index: ChunkIndex, worker: IngestWorker
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._embedder = embedder
        self._index = index
        self._worker = worker
        self.missing: list[Place] = []
        """Versions whose text is not among the objects."""

    async def run(self) -> AsyncIterator[tuple[int, int]]:
        """Yields (versions, chunks) that were written since the last time."""
        after: Place | None = None
        while versions := await self._catalog.published(after, BATCH):
            chunks = [part for each in await asyncio.gather(*map(self._chunks, versions)) for part in each]
            await self._index.add(chunks)
            await self._settle(versions)
            last = versions[-1]
            after = (last.tenant, last.document_id, last.version)
            yield len(versions), len(chunks)
        await self._index.optimize()

    async def _chunks(self, version: Version) -> list[IndexedChunk]:
        try:
            text = (await self._objects.get(str(version.text_key))).decode()
        except NotFound:
            key = (version.tenant, version.document_id, version.version)
            if key in await self._catalog.versions([key]):
                self.missing.append(key)
            return []  # otherwise it was deleted in between
        parts = await asyncio.to_thread(chunk, text)
        vectors = await self._embedder.embed([embedding_text(version.title, part) for part in parts])
        return [_indexed(version, *each) for each in zip(parts, vectors, strict=True)]

    async def _settle(self, versions: Sequence[Version]) -> None:
        """What the catalogue says of them by now: they may be over, others may read them, or they may be gone."""
        keys = [(version.tenant, version.document_id, version.version) for version in versions]
        now = await self._catalog.versions(keys)
        await self._index.supersede(
            [Validity(*key, found.superseded_at) for key, found in now.items() if found.superseded_at is not None]
        )
        for key, before in zip(keys, versions, strict=True):
            found = now.get(key)
            if found is None:
                await self._index.remove(*key)
            elif found.access != before.access:
                await self._worker.apply_access(found.tenant, found.document_id)


def _indexed(version: Version, part: Chunk, vector: Vector) -> IndexedChunk:
    return IndexedChunk(
        tenant=version.tenant,
        document_id=version.document_id,
        version=version.version,
        title=version.title,
        chunk=part,
        access=version.access,
        metadata=version.metadata,
        vector=vector,
        published_at=float(version.published_at or 0.0),
    )
