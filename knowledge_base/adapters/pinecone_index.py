"""Chunks in Pinecone, as dense vectors with sparse ones for their words. Any number of processes may share it.

Pinecone takes a write before queries see it. Each write here waits until they do, so that the next step may rely on it.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from common.errors import Unavailable
from common.security.access import Access, AccessScope
from knowledge_base.adapters.pinecone_client import Pinecone, PineconeAccess
from knowledge_base.adapters.pinecone_filter import STILL, Clause, where
from knowledge_base.adapters.pinecone_record import (
    Record,
    hits,
    models_part,
    namespace,
    of_document,
    record,
    rights,
    sparse,
)
from knowledge_base.adapters.query_words import query_words
from knowledge_base.adapters.sparse_words import query_weights
from knowledge_base.documents import Hit, IndexedChunk, Validity, Vector
from knowledge_base.filters import Restriction

RECORDS = 30
"""Of one request: so many of the largest are below the 2 MB that it may have."""
SEEN_SECONDS, PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 0.02, 1.0
"""How long a write is waited for."""


class PineconeIndex:
    """Vector search by cosine, and text search by sparse vectors of words (see sparse_words)."""

    def __init__(self, access: PineconeAccess, model: str, dimension: int) -> None:
        self._model = model
        self._server = Pinecone(access, dimension)
        self._zero = [0.0] * dimension
        self._any = [1.0, *self._zero[1:]]

    async def add(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write all chunks; the same (document, version, number) again replaces it. Then searches see them."""
        spaces: dict[str, list[Record]] = defaultdict(list)
        for chunk in chunks:
            spaces[self._space(chunk.tenant)].append(record(chunk))
        await _each(self._upsert(space, records) for space, records in spaces.items())

    async def remove(self, tenant: str, document_id: str, up_to: int) -> None:
        """Remove the chunks of a document up to this version."""
        space, old = self._space(tenant), _all_of(*of_document(tenant, document_id), {"version": {"$lte": up_to}})
        if await self._any_left(space, old):
            async with self._server.asked() as index:
                await index.delete(filter=old, namespace=space)
            await self._until(lambda: self._none_left(space, old))

    async def supersede(self, versions: Sequence[Validity]) -> None:
        """Note when the time of these versions ended."""
        await _each(self._end(version) for version in versions)

    async def set_access(self, tenant: str, document_id: str, access: Access) -> None:
        """Change who may read all chunks of a document. When it returns, queries know."""
        changed = rights(access)
        stale = _all_of(*of_document(tenant, document_id), {"rights": {"$ne": changed["rights"]}})
        await self._change(self._space(tenant), stale, changed)

    async def search_text(self, query: str, restriction: Restriction, limit: int) -> list[Hit]:
        """Chunks with the words of the query. Each counts, none is an operator."""
        words = query_weights(query_words(query))
        if not words or limit < 1:
            return []
        async with self._server.asked() as index:
            found = await index.query(
                vector=self._zero,
                sparse_vector=sparse(words),
                top_k=limit,
                filter=where(restriction),
                namespace=self._space(restriction.scope.tenant),
                include_metadata=True,
                include_values=True,
            )
        # A chunk with none of the words has no score.
        return hits([match for match in found.matches if match.score > 0], with_vectors=True)

    async def search_vector(self, vector: Vector, restriction: Restriction, limit: int) -> list[Hit]:
        """Nearest chunks; the score is the cosine, since vectors have the length 1."""
        if limit < 1:
            return []
        async with self._server.asked() as index:
            found = await index.query(
                vector=[float(value) for value in vector],
                top_k=limit,
                filter=where(restriction),
                namespace=self._space(restriction.scope.tenant),
                include_metadata=True,
            )
        return hits(found.matches)

    async def count(self) -> int:
        """Chunks of all tenants."""
        async with self._server.asked() as index:
            spaces = (await index.describe_index_stats()).namespaces
        return sum(space.vector_count for name, space in spaces.items() if name.startswith(models_part(self._model)))

    async def optimize(self) -> None:
        """What was removed leaves the service's files when the service sees fit; nothing here can hurry it."""

    async def tidy(self, at_once: bool) -> None:
        """The service keeps itself tidy."""

    async def check(self) -> None:
        """Raises Unavailable if it cannot be searched."""
        await self.search_vector(self._any, Restriction(AccessScope("", "")), 1)

    async def warm(self) -> None:
        """Connect."""
        await self.check()

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def _space(self, tenant: str) -> str:
        return namespace(self._model, tenant)

    async def _upsert(self, space: str, records: Sequence[Record]) -> None:
        committed = 0
        for start in range(0, len(records), RECORDS):
            async with self._server.asked() as index:
                written = await index.upsert(vectors=records[start : start + RECORDS], namespace=space)
            info = written.response_info
            committed = max(committed, (info.lsn_committed or 0) if info else 0)
        if committed:
            await self._until(lambda: self._reached(space, committed))

    async def _end(self, ended: Validity) -> None:
        of_version = [*of_document(ended.tenant, ended.document_id), {"version": {"$eq": ended.version}}]
        stale = _all_of(*of_version, {"superseded_at": {"$eq": STILL}})
        await self._change(self._space(ended.tenant), stale, {"superseded_at": ended.superseded_at})

    async def _change(self, space: str, stale: Clause, changed: Clause) -> None:
        """Change what is stale, until nothing is: what was written just before may be seen later."""

        async def done() -> bool:
            if await self._none_left(space, stale):
                return True
            async with self._server.asked() as index:
                await index.update(filter=stale, set_metadata=changed, namespace=space)
            return await self._none_left(space, stale)

        await self._until(done)

    async def _any_left(self, space: str, clause: Clause) -> bool:
        async with self._server.asked() as index:
            found = await index.query(vector=self._any, top_k=1, filter=clause, namespace=space)
        return bool(found.matches)

    async def _none_left(self, space: str, clause: Clause) -> bool:
        return not await self._any_left(space, clause)

    async def _reached(self, space: str, written: int) -> bool:
        async with self._server.asked() as index:
            found = await index.query(vector=self._any, top_k=1, namespace=space)
        return found.response_info is not None and found.response_info.is_reconciled(written)

    async def _until(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Raises Unavailable if it takes too long; the same may then be done again."""
        end, pause = time.monotonic() + SEEN_SECONDS, PAUSE_SECONDS
        while not await done():
            if time.monotonic() > end:
                raise Unavailable("The search index lags behind.", "Try again.", retry_after=10)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _all_of(*clauses: Clause) -> Clause:
    return {"$and": list(clauses)}


async def _each(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first failure is everybody's."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
