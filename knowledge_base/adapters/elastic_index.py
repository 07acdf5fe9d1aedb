"""Chunks in Elasticsearch 9, with full-text and vector search in one request. Any number of processes may share it."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import SettingsError
from common.security.access import Access, AccessScope
from knowledge_base.adapters.elastic_client import Elasticsearch, ElasticsearchAccess, bulk, found_by, scan
from knowledge_base.adapters.elastic_erasure import erase_deleted
from knowledge_base.adapters.elastic_filter import Clause, where
from knowledge_base.adapters.elastic_mapping import SHAPE, SHOWN, chunk_id, hits, index_name, rights, source
from knowledge_base.adapters.elastic_rebuild import numbered, put_template, replaced
from knowledge_base.adapters.query_words import query_words
from knowledge_base.documents import Hit, IndexedChunk, Validity, Vector
from knowledge_base.filters import Restriction
from knowledge_base.ports import Embedder

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

CANDIDATES = 2
"""Times as many as are wanted are found by eight bits a dimension, and compared again by the vectors themselves."""
MAX_CANDIDATES = 10_000
_TRIES = 10
"""For a chunk that somebody else changes at the same moment."""
_GROUP = 100
"""Versions that one query looks for."""
_PATHS = ["responses.error", "responses.status", "responses.hits.hits._source", "responses.hits.hits._score"]


class ElasticIndex:
    """Full-text search (BM25, English stems) and vector search (cosine) by one alias."""

    def __init__(self, access: ElasticsearchAccess, prefix: str, model: str, dimension: int) -> None:
        self.alias = index_name(prefix, model, dimension)
        self._prefix = prefix
        self._dimension = dimension
        self._server = Elasticsearch(access)
        self._opening = asyncio.Lock()
        self._opened = False

    async def add(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write all chunks; the same (document, version, number) again replaces it. Then searches see them."""
        if chunks:
            await self._write([self._operation("index", chunk_id(chunk), source(chunk)) for chunk in chunks])

    async def remove(self, tenant: str, document_id: str, up_to: int) -> None:
        """Remove the chunks of a document up to this version. `optimize` takes them off the disk."""
        old = [*_of_document(tenant, document_id), {"range": {"version": {"lte": up_to}}}]
        found = await self._found(old)
        await self._write([self._operation("delete", hit["_id"]) for hit in found])

    async def supersede(self, versions: Sequence[Validity]) -> None:
        """Note when the time of these versions ended."""
        for start in range(0, len(versions), _GROUP):
            ended = {(v.tenant, v.document_id, v.version): v.superseded_at for v in versions[start : start + _GROUP]}
            each = [[*_of_document(*key[:2]), {"term": {"version": key[2]}}] for key in ended]
            found = await self._found([{"bool": {"should": [{"bool": {"filter": clauses}} for clauses in each]}}])
            await self._write([self._update(hit["_id"], _ended(ended[_version(hit)])) for hit in found])

    async def set_access(self, tenant: str, document_id: str, access: Access) -> None:
        """Change who may read all chunks of a document. The very next search of anyone knows."""
        found = await self._found(_of_document(tenant, document_id))
        await self._write([self._update(hit["_id"], rights(access.level, access.readers)) for hit in found])

    async def search_text(self, query: str, restriction: Restriction, limit: int) -> list[Hit]:
        """Best chunks by BM25. Each word of the query counts, none is an operator."""
        words = query_words(query)
        if not words or limit < 1:
            return []
        [found] = await self._search([_matching(words, restriction, limit)])
        return hits(found, cosine=False)

    async def search_vector(self, vector: Vector, restriction: Restriction, limit: int) -> list[Hit]:
        """Nearest chunks; the score is the cosine."""
        if limit < 1:
            return []
        [found] = await self._search([_nearest(vector, restriction, limit)])
        return hits(found, cosine=True)

    async def search_both(
        self, query: str, vector: Vector, restriction: Restriction, limit: int
    ) -> tuple[list[Hit], list[Hit]]:
        """Both at once, in one request."""
        words = query_words(query)
        if not words or limit < 1:
            return [], await self.search_vector(vector, restriction, limit)
        searches = [_matching(words, restriction, limit), _nearest(vector, restriction, limit)]
        text, nearest = await self._search(searches)
        return hits(text, cosine=False), hits(nearest, cosine=True)

    async def count(self) -> int:
        """Chunks of all tenants."""
        await self._open()
        with self._server.asked() as client:
            return int((await client.count(index=self.alias))["count"])

    async def optimize(self) -> None:
        """Merge away what was removed; after it no removed text is left in the files of the index.

        Raises Unavailable if that cannot be done yet.
        """
        await self._open()
        with self._server.asked() as client:
            await erase_deleted(client, self.alias)

    async def tidy(self, at_once: bool) -> None:
        """Elasticsearch keeps itself tidy."""

    async def check(self) -> None:
        """Raises Unavailable if it cannot be searched."""
        await self._open()
        await self._search([{"size": 0, "query": {"match_none": {}}}])

    async def warm(self) -> None:
        """Connect, and run both kinds of search once."""
        nobody = Restriction(AccessScope("", ""))
        await self.search_both("warm", [1.0] + [0.0] * (self._dimension - 1), nobody, 1)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()
        self._opened = False

    async def rebuild(self, source: str | None = None, embedder: Embedder | None = None) -> int:
        """Fill a new index from the one behind the alias, or behind another one; then it takes its place.

        With an embedder its vectors are made anew. Searches go on. Returns the number of chunks.
        """
        with self._server.asked() as client:
            await put_template(client, self.alias, self._dimension)
            return await replaced(client, source or self.alias, self.alias, embedder)

    def _operation(self, kind: str, id: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {"_op_type": kind, "_index": self.alias, "_id": id}
        return found if document is None else {**found, "_source": document}

    def _update(self, id: str, changed: dict[str, Any]) -> dict[str, Any]:
        """A change of some fields. The server repeats it if somebody else was faster."""
        return {**self._operation("update", id), "doc": changed, "retry_on_conflict": _TRIES}

    async def _write(self, operations: Sequence[dict[str, Any]]) -> None:
        if not operations:
            return
        await self._open()
        with self._server.asked() as client:
            await bulk(client, operations)
            await client.indices.refresh(index=self.alias)

    async def _found(self, clauses: Sequence[Clause]) -> list[dict[str, Any]]:
        """Ids of chunks, those included that were written a moment ago."""
        await self._open()
        with self._server.asked() as client:
            await client.indices.refresh(index=self.alias)
            fields = {"includes": ["tenant", "document_id", "version"]}
            pages = scan(client, self.alias, {"bool": {"filter": clauses}}, fields)
            return [hit async for page in pages for hit in page]

    async def _search(self, searches: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """The hits of each. A shard that does not answer is an error: half of an answer looks like a whole one."""
        await self._open()
        with self._server.asked() as client:
            lines = list(self._lines(searches))
            answer = (await client.msearch(searches=lines, filter_path=_PATHS)).body
        return [found_by(response) for response in answer["responses"]]

    def _lines(self, searches: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for search in searches:
            yield {"index": self.alias, "allow_partial_search_results": False}
            yield search

    async def _open(self) -> None:
        if not self._opened:
            async with self._opening:
                if not self._opened:
                    with self._server.asked() as client:
                        await self._prepare(client)
                    self._opened = True

    async def _prepare(self, client: "AsyncElasticsearch") -> None:
        """Make the index if it is not there. Raises SettingsError if it is of another shape."""
        if not await client.indices.exists_alias(name=self.alias):
            await self._create(client)
        found = await client.indices.get_mapping(index=self.alias)
        for name, index in found.items():
            meta = index["mappings"].get("_meta", {})
            if (meta.get("shape"), meta.get("dimension")) != (SHAPE, self._dimension):
                raise SettingsError(f"The index {name} was made by another version: run `triptych reindex --rebuild`.")

    async def _create(self, client: "AsyncElasticsearch") -> None:
        import elasticsearch as driver

        await put_template(client, self.alias, self._dimension)
        try:
            await client.indices.create(index=numbered(self.alias, 1), aliases={self.alias: {}})
        except driver.BadRequestError as error:
            # Another process was faster.
            if error.error != "resource_already_exists_exception":
                raise
        await client.cluster.health(index=self.alias, wait_for_status="yellow", timeout="10s")


def _matching(words: str, restriction: Restriction, limit: int) -> dict[str, Any]:
    matching = {"match": {"body": {"query": words}}}
    return {
        "size": limit,
        "query": {"bool": {"must": matching, "filter": where(restriction)}},
        "_source": [*SHOWN, "half"],
        "track_total_hits": False,
    }


def _nearest(vector: Vector, restriction: Restriction, limit: int) -> dict[str, Any]:
    candidates = min(MAX_CANDIDATES, CANDIDATES * limit)
    return {
        "size": limit,
        "knn": {
            "field": "vector",
            "query_vector": vector,
            "k": limit,
            "num_candidates": candidates,
            "rescore_vector": {"oversample": CANDIDATES},
            "filter": where(restriction),
        },
        "_source": SHOWN,
        "track_total_hits": False,
    }


def _of_document(tenant: str, document_id: str) -> list[Clause]:
    return [{"term": {"tenant": tenant}}, {"term": {"document_id": document_id}}]


def _version(hit: dict[str, Any]) -> tuple[str, str, int]:
    found = hit["_source"]
    return found["tenant"], found["document_id"], found["version"]


def _ended(at: float) -> dict[str, Any]:
    return {"current": False, "superseded_at": at}
