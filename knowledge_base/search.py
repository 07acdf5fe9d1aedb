"""Finds passages. Rights are part of the index's query; the catalogue then drops what is not the current version."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from common.security.access import AccessScope
from common.security.untrusted import untrusted
from knowledge_base.citations import Citation
from knowledge_base.documents import Counting, Hit, Metadata, Vector
from knowledge_base.duplicates import Answer, collapsed
from knowledge_base.explanation import Explained, Explanation, Steps, places, timed
from knowledge_base.filters import Filter, Restriction
from knowledge_base.ports import BothAtOnce, Catalog, ChunkIndex, Embedder
from knowledge_base.ranking import Fusion, Lists, Ranked, best_chunks, convex_combination
from knowledge_base.reranking import Rerank, as_ranked
from knowledge_base.search_pages import shown_before
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
    is_current: bool
    published_at: float | None
    also_in: tuple[str, ...] = ()
    """Documents whose passage is the same, which are not items of their own."""


@dataclass(frozen=True)
class SearchPage:
    """A page of answers, best first."""

    items: list[SearchItem]
    next_cursor: str | None


class Search:
    """Text, vector and hybrid search."""

    def __init__(
        self,
        index: ChunkIndex,
        embedder: Embedder,
        catalog: Catalog,
        fuse: Fusion = convex_combination,
        rerank: Rerank = as_ranked,
    ) -> None:
        self._index = index
        self._both = index if isinstance(index, BothAtOnce) else None
        self._embedder = embedder
        self._catalog = catalog
        self._fuse = fuse
        self._rerank = rerank

    async def search(
        self,
        query: str,
        scope: AccessScope,
        limit: int = 10,
        mode: Mode = "hybrid",
        cursor: str | None = None,
        as_of: float | None = None,
        where: Filter | None = None,
    ) -> SearchPage:
        """A page of at most `limit` documents. Raises InvalidInput for a cursor of another question.

        `as_of` (seconds since 1970) asks for what stood there then; who may read it is decided by the rights of now.
        """
        question = ["search", query, mode, as_of, where, scope.tenant, scope.subject]
        shown = shown_before(cursor, question)
        # Later pages are of the moment of the first one.
        moment = shown.at if cursor and as_of is None else as_of
        restriction = Restriction(scope, moment, where)
        found = await self._ranked(query, restriction, mode, {})
        rest = [(hit, score) for hit, score in found.ranked if hit.document_id not in shown]
        answers = collapsed(rest)
        page = answers[:limit]
        seen = [document_id for answer in page for document_id in (answer.hit.document_id, *answer.others)]
        next_cursor = shown.cursor(seen, question) if len(answers) > limit else None
        return SearchPage(_items(page, query, found.counting), next_cursor)

    async def explain(
        self, query: str, restriction: Restriction, limit: int = 10, mode: Mode = "hybrid"
    ) -> Explanation:
        """The first page of `search`, with the place of each document in each list, and the time of each step."""
        steps: Steps = {}
        with timed(steps, "all"):
            found = await self._ranked(query, restriction, mode, steps)
            with timed(steps, "page"):
                page = _items(collapsed(found.ranked)[:limit], query, found.counting)
        where = places(found.lists)
        items = [Explained(item, where[item.document_id]) for item in page]
        sizes = {name: len(best_chunks(hits)) for name, hits in found.lists.items()}
        return Explanation(items, sizes, len(found.ranked), steps)

    async def _ranked(self, query: str, restriction: Restriction, mode: Mode, steps: Steps) -> "_Found":
        """What was found and counts, and both lists joined."""
        found, vector = await self._lists(query, restriction, mode, steps)
        with timed(steps, "catalogue"):
            counting = await self._counting(list(found.values()), restriction)
        lists = {name: _only(hits, counting) for name, hits in found.items()}
        with timed(steps, "fusion"):
            ranked = self._fuse(lists, vector)
        with timed(steps, "reranking"):
            return _Found(lists, await self._rerank(query, ranked), counting)

    async def _lists(
        self, query: str, restriction: Restriction, mode: Mode, steps: Steps
    ) -> tuple[dict[str, list[Hit]], Vector]:
        """What each kind of search found, and the vector of the query."""
        if mode == "text":
            return {"text": await self._matching(query, restriction, steps)}, None
        if mode == "vector":
            vector, hits = await self._nearest(query, restriction, steps)
            return {"vector": hits}, vector
        if self._both:
            vector = await self._embedded(query, steps)
            with timed(steps, "both"):
                both = await self._both.search_both(query, vector, restriction, LEG_LIMIT)
            return dict(zip(("text", "vector"), both, strict=True)), vector
        text, (vector, hits) = await asyncio.gather(
            self._matching(query, restriction, steps), self._nearest(query, restriction, steps)
        )
        return {"text": text, "vector": hits}, vector

    async def _matching(self, query: str, restriction: Restriction, steps: Steps) -> list[Hit]:
        with timed(steps, "text"):
            return await self._index.search_text(query, restriction, LEG_LIMIT)

    async def _nearest(self, query: str, restriction: Restriction, steps: Steps) -> tuple[Vector, list[Hit]]:
        vector = await self._embedded(query, steps)
        with timed(steps, "vector"):
            return vector, await self._index.search_vector(vector, restriction, LEG_LIMIT)

    async def _embedded(self, query: str, steps: Steps) -> Vector:
        with timed(steps, "embedding"):
            [vector] = await self._embedder.embed([query])
        return vector

    async def _counting(self, legs: Sequence[list[Hit]], restriction: Restriction) -> dict[str, Counting]:
        ids = sorted({hit.document_id for leg in legs for hit in leg})
        return await self._catalog.valid(ids, restriction) if ids else {}


class _Found(NamedTuple):
    """What a question came to; `counting` has the versions that count."""

    lists: Lists
    ranked: Ranked
    counting: Mapping[str, Counting]


def _only(leg: Sequence[Hit], counting: Mapping[str, Counting]) -> list[Hit]:
    return [hit for hit in leg if (it := counting.get(hit.document_id)) is not None and it.version == hit.version]


def _items(page: Sequence[Answer], query: str, counting: Mapping[str, Counting]) -> list[SearchItem]:
    return [_item(answer, query, counting[answer.hit.document_id]) for answer in page]


def _item(answer: Answer, query: str, version: Counting) -> SearchItem:
    hit = answer.hit
    passage = untrusted(snippet(hit.text, query), MAX_SNIPPET)
    return SearchItem(
        document_id=hit.document_id,
        version=hit.version,
        title=untrusted(hit.title, 300).text,
        snippet=passage.text,
        score=round(answer.score, 6),
        metadata=hit.metadata,
        citation=str(Citation(hit.document_id, hit.version, hit.start, hit.end)),
        suspicious=passage.suspicious,
        is_current=version.is_current,
        published_at=version.published_at,
        also_in=tuple(answer.others),
    )
