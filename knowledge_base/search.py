"""Finds passages. Rights are part of the index's query; the catalogue then drops what is not the current version."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from common.paging import decode_cursor, encode_cursor
from common.security.access import AccessScope
from common.security.untrusted import untrusted
from knowledge_base.citations import Citation
from knowledge_base.documents import Hit, Metadata
from knowledge_base.ports import Catalog, ChunkIndex, Embedder
from knowledge_base.ranking import reciprocal_rank_fusion
from knowledge_base.snippets import snippet

Mode = Literal["hybrid", "text", "vector"]
LEG_LIMIT = 100
"""Chunks that each leg contributes."""
MAX_SNIPPET = 400


@dataclass(frozen=True)
class SearchItem:
    """A document that answers, with the passage that says so."""

    document_id: str
    version: int
    title: str
    snippet: str
    score: float
    metadata: Metadata
    citation: str
    suspicious: bool


@dataclass(frozen=True)
class SearchPage:
    """A page of answers, best first."""

    items: list[SearchItem]
    next_cursor: str | None


class Search:
    """Text, vector and hybrid search."""

    def __init__(self, index: ChunkIndex, embedder: Embedder, catalog: Catalog) -> None:
        self._index = index
        self._embedder = embedder
        self._catalog = catalog

    async def search(
        self, query: str, scope: AccessScope, limit: int = 10, mode: Mode = "hybrid", cursor: str | None = None
    ) -> SearchPage:
        """A page of at most `limit` documents. Raises InvalidInput for a cursor of another question."""
        question = [query, mode, scope.tenant, scope.subject]
        offset = decode_cursor(cursor, question, int) if cursor else 0
        legs = await self._legs(query, scope, mode)
        ranked = [(hit, score) for hit, score in reciprocal_rank_fusion(legs)]
        page = [_item(hit, score, query) for hit, score in ranked[offset : offset + limit]]
        end = offset + limit
        return SearchPage(page, encode_cursor(end, question) if end < len(ranked) else None)

    async def _legs(self, query: str, scope: AccessScope, mode: Mode) -> list[list[Hit]]:
        wanted = []
        if mode != "vector":
            wanted.append(self._index.search_text(query, scope, LEG_LIMIT))
        if mode != "text":
            wanted.append(self._nearest(query, scope))
        return await self._only_current(await asyncio.gather(*wanted), scope)

    async def _nearest(self, query: str, scope: AccessScope) -> list[Hit]:
        [vector] = await self._embedder.embed([query])
        return await self._index.search_vector(vector, scope, LEG_LIMIT)

    async def _only_current(self, legs: Sequence[list[Hit]], scope: AccessScope) -> list[list[Hit]]:
        ids = sorted({hit.document_id for leg in legs for hit in leg})
        current = await self._catalog.current(ids, scope) if ids else {}
        numbers = {document_id: version.version for document_id, version in current.items()}
        return [[hit for hit in leg if numbers.get(hit.document_id) == hit.version] for leg in legs]


def _item(hit: Hit, score: float, query: str) -> SearchItem:
    passage = untrusted(snippet(hit.text, query), MAX_SNIPPET)
    return SearchItem(
        document_id=hit.document_id,
        version=hit.version,
        title=untrusted(hit.title, 300).text,
        snippet=passage.text,
        score=round(score, 6),
        metadata=hit.metadata,
        citation=str(Citation(hit.document_id, hit.version, hit.start, hit.end)),
        suspicious=passage.suspicious,
    )
