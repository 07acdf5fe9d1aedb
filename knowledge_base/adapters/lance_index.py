"""Chunks in an embedded LanceDB table, with full-text and vector search. Any number of processes may share it."""

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.errors import SettingsError, Unavailable
from common.garbage import limit_arenas, return_memory
from common.security.access import Access, AccessScope
from knowledge_base.adapters.imports import ONE_AT_A_TIME
from knowledge_base.adapters.lance_filter import STILL, facts_json, literal, microseconds, where
from knowledge_base.adapters.lance_turn import WriterTurn
from knowledge_base.adapters.lance_upkeep import create_indices, index_vectors, is_untidy, tidy
from knowledge_base.adapters.query_words import query_words
from knowledge_base.chunking import embedding_text
from knowledge_base.documents import Hit, IndexedChunk, Validity, Vector
from knowledge_base.filters import Restriction

if TYPE_CHECKING:
    import pyarrow

T = TypeVar("T")
TABLE = "chunks"
INDEX_CACHE_BYTES, METADATA_CACHE_BYTES = 256 * 2**20, 64 * 2**20
"""Each change makes a version with entries of its own; Lance by itself would keep 7 GB of them."""

_SHOWN = ["document_id", "version", "title", "section", "text", "number", "start", "end", "metadata"]
_TRIES = 10
# Text search scans what is not indexed: 1,400 chunks in 44 commits took 110 ms, indexed 8 ms.
_COMMITS_PER_INDEXING = 20
# Another process committed first, or cleaned up the version that was being read.
_TRANSIENT = re.compile(
    rf"commit conflict|Not found: [^,]*{TABLE}\.lance|Too many concurrent writers|already exists", re.I
)
# Zero would do the same and warn each time; the retries make it safe for other processes.
_NO_TIME = timedelta(milliseconds=1)


class LanceIndex:
    """Full-text search (BM25, English stems) and vector search (cosine) in one folder."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._dimension = dimension
        self._opening = asyncio.Lock()
        self._turn = WriterTurn(folder / "writing.lock")
        self._connection: Any = None
        self._table: Any = None
        self._commits = 0

    async def add(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write all chunks in one commit; the same (document, version, number) again replaces it."""
        if not chunks:
            return
        rows = await asyncio.to_thread(self._rows, chunks)

        async def merge(table: Any) -> None:
            builder = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
            await builder.execute(rows)

        await self._written(merge)
        self._commits += 1
        if self._commits % _COMMITS_PER_INDEXING == 0:
            # The chunks are written: whoever keeps this from being done now does it himself, or the next one does.
            with contextlib.suppress(Unavailable):
                await self._written(lambda table: table.optimize())

    async def remove(self, tenant: str, document_id: str, up_to: int) -> None:
        """Remove the chunks of a document up to this version. `optimize` takes them off the disk."""
        old = f"{_of_document(tenant, document_id)} AND version <= {up_to:d}"
        await self._written(lambda table: table.delete(old))

    async def supersede(self, versions: Sequence[Validity]) -> None:
        """Note when the time of these versions ended: one commit for those that ended together."""
        ended: dict[float, list[str]] = {}
        for item in versions:
            this = f"({_of_document(item.tenant, item.document_id)} AND version = {item.version:d})"
            ended.setdefault(item.superseded_at, []).append(this)
        for at, these in ended.items():
            updates = {"superseded_at": f"{microseconds(at):d}"}
            await self._written(functools.partial(_update, updates=updates, where=" OR ".join(these)))

    async def set_access(self, tenant: str, document_id: str, access: Access) -> None:
        """Change who may read all chunks of a document, in one commit."""
        readers = ", ".join(literal(label) for label in access.readers)
        updates = {"level": f"CAST({access.level:d} AS TINYINT)", "readers": f"[{readers}]"}
        await self._written(lambda table: table.update(updates_sql=updates, where=_of_document(tenant, document_id)))

    async def search_text(self, query: str, restriction: Restriction, limit: int) -> list[Hit]:
        """Best chunks by BM25. Each word of the query counts, none is an operator."""
        words = query_words(query)
        if not words or limit < 1:
            return []

        async def search(table: Any) -> "pyarrow.Table":
            from lancedb.query import MatchQuery

            match: Any = MatchQuery  # its generated constructor is mistyped
            found = table.query().nearest_to_text(match(words, "body"))
            found = found.where(where(restriction)).select([*_SHOWN, "vector", "_score"]).limit(limit)
            return await found.to_arrow()

        return _hits(await self._retried(search), "_score", lambda score: score)

    async def search_vector(self, vector: Vector, restriction: Restriction, limit: int) -> list[Hit]:
        """Nearest chunks; the score is the cosine."""
        if limit < 1:
            return []

        async def search(table: Any) -> "pyarrow.Table":
            # With an index, what it found is compared again with the vectors themselves.
            found = table.query().nearest_to(vector).distance_type("cosine").refine_factor(1)
            found = found.where(where(restriction)).select([*_SHOWN, "_distance"]).limit(limit)
            return await found.to_arrow()

        return _hits(await self._retried(search), "_distance", lambda distance: 1 - distance)

    async def count(self) -> int:
        """Chunks of all tenants."""
        return int(await self._retried(lambda table: table.count_rows()))

    async def optimize(self) -> None:
        """Compact, index what was added, drop old versions; after it no removed text is left in the folder."""
        await self._written(lambda table: table.optimize(cleanup_older_than=_NO_TIME))
        if await asyncio.to_thread(self._has_deletions):
            await self._written(self._erase)

    async def tidy(self, at_once: bool) -> None:
        """See ChunkIndex."""
        if self._table is not None and (at_once or await self._retried(is_untidy)):
            if await self._written(tidy):
                # Without the writer's turn, as nobody should wait for it: rights change while it goes on.
                await self._retried(index_vectors)
            # 300 of 1,200 MB in 100,000 chunks.
            await asyncio.to_thread(return_memory)

    async def check(self) -> None:
        """See ChunkIndex."""
        await self.count()

    async def warm(self) -> None:
        """Import, open the table, and run both kinds of search once."""
        nobody = Restriction(AccessScope("", ""))
        await self.search_text("warm", nobody, 1)
        await self.search_vector([1.0] + [0.0] * (self._dimension - 1), nobody, 1)

    async def close(self) -> None:
        """Close the table."""
        if self._table is not None:
            self._table.close()
            self._connection.close()
            self._table = None

    async def _written(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        await self._open()
        async with self._turn.taken():
            return await self._retried(operation)

    async def _retried(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        for attempt in range(1, _TRIES + 1):
            try:
                return await operation(await self._open())
            except (RuntimeError, OSError, ValueError) as error:
                if not _TRANSIENT.search(str(error)):
                    raise
                if attempt == _TRIES:
                    raise Unavailable("The search index is busy.", "Try again.", retry_after=1) from error
            await asyncio.sleep(random.uniform(0, min(0.01 * 2**attempt, 0.5)))  # noqa: S311 - jitter
        raise AssertionError

    async def _open(self) -> Any:
        if self._table is None:
            async with self._opening:
                if self._table is None:
                    self._table = await self._connect()
        return self._table

    async def _connect(self) -> Any:
        # Lance logs each commit conflict, which is retried anyway.
        os.environ.setdefault("LANCEDB_LOG", "error")
        lancedb = await asyncio.to_thread(_load)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        caches = lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES)
        self._connection = await lancedb.connect_async(
            str(self._folder), read_consistency_interval=timedelta(0), session=caches
        )
        try:
            table = await self._connection.create_table(TABLE, schema=_stored(self._dimension), exist_ok=True)
        except ValueError as error:
            if "does not match" not in str(error):
                raise
            advice = "move it away and ingest again"
            raise SettingsError(f"The index in {self._folder} is of another embedder or version: {advice}") from error
        # Two processes that open a new table at once would take each other's indices away again and again.
        async with self._turn.taken():
            await create_indices(table)
        return table

    def _has_deletions(self) -> bool:
        # After the clean-up only the deletion files of the current version are left.
        folder = self._folder / f"{TABLE}.lance" / "_deletions"
        return folder.is_dir() and any(folder.iterdir())

    async def _erase(self, table: Any) -> None:
        """Rewrite what still holds deleted rows.

        Compaction leaves a file alone until a tenth of its rows is deleted, or it has a neighbour to be merged with:
        moving one row makes the neighbour, once that row is indexed too. Merging drops dead words from the index.
        """
        for row in await table.query().select(["key"]).limit(1).to_list():
            await table.update(updates_sql={"number": "number"}, where=f"key = {literal(row['key'])}")
        for _ in range(2):
            await table.optimize(cleanup_older_than=_NO_TIME)

    def _rows(self, chunks: Sequence[IndexedChunk]) -> "pyarrow.Table":
        _load()
        import pyarrow

        return pyarrow.Table.from_pylist([_row(chunk) for chunk in chunks], schema=_schema(self._dimension))


def _load() -> Any:
    with ONE_AT_A_TIME:
        limit_arenas()
        import lancedb

    return lancedb


def _schema(dimension: int) -> "pyarrow.Schema":
    import pyarrow as pa

    # Without a primary key two processes that insert the same key at once would both succeed.
    primary = {b"lance-schema:unenforced-primary-key": b"true"}
    text = ("tenant", "document_id", "title", "section", "text", "body", "metadata")
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False, metadata=primary),
            *(pa.field(name, pa.string()) for name in text),
            *(pa.field(name, pa.int32()) for name in ("version", "number", "start", "end")),
            pa.field("facts", pa.json_()),
            pa.field("level", pa.int8()),
            pa.field("published_at", pa.float64()),
            pa.field("superseded_at", pa.int64()),
            pa.field("readers", pa.list_(pa.string())),
            pa.field("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def _stored(dimension: int) -> "pyarrow.Schema":
    """The schema as a table has it that is opened again: JSON is stored in a type of Lance's own."""
    import pyarrow as pa

    schema = _schema(dimension)
    lance_json = {"ARROW:extension:name": "lance.json", "ARROW:extension:metadata": ""}
    place = schema.get_field_index("facts")
    return schema.set(place, pa.field("facts", pa.large_binary(), metadata=lance_json))


def _row(chunk: IndexedChunk) -> dict[str, Any]:
    part = chunk.chunk
    key = json.dumps([chunk.tenant, chunk.document_id, chunk.version, part.number])
    return {
        "key": hashlib.sha256(key.encode()).hexdigest(),
        "tenant": chunk.tenant,
        "document_id": chunk.document_id,
        "version": chunk.version,
        "number": part.number,
        "title": chunk.title,
        "section": part.section,
        "text": part.text,
        "body": embedding_text(chunk.title, part),
        "start": part.start,
        "end": part.end,
        "level": chunk.access.level,
        "published_at": chunk.published_at,
        "superseded_at": STILL,
        "readers": chunk.access.readers,
        "metadata": json.dumps(dict(chunk.metadata)),
        "facts": facts_json(chunk.metadata),
        "vector": chunk.vector,
    }


def _hits(found: "pyarrow.Table", column: str, score: Callable[[float], float]) -> list[Hit]:
    shown = found.select(_SHOWN).to_pylist()
    scores = [score(number) for number in found.column(column).to_pylist()]
    vectors = _vectors(found) if "vector" in found.column_names else [None] * len(shown)
    hits = [_hit(row, number, vector) for row, number, vector in zip(shown, scores, vectors, strict=True)]
    # Equal scores come back in any order; pages of one question must not.
    return sorted(hits, key=lambda hit: (-hit.score, hit.document_id, hit.version, hit.number))


def _hit(row: dict[str, Any], score: float, vector: Vector) -> Hit:
    metadata = json.loads(row.pop("metadata"))
    return Hit(**row, score=score, metadata=metadata, vector=vector)


def _vectors(found: "pyarrow.Table") -> Sequence[Vector]:
    """Views into the answer: Python lists of its numbers would take longer than the search."""
    column = found.column("vector").combine_chunks()
    return list(column.flatten().to_numpy().reshape(len(column), column.type.list_size))


async def _update(table: Any, updates: dict[str, str], where: str) -> None:
    await table.update(updates_sql=updates, where=where)


def _of_document(tenant: str, document_id: str) -> str:
    return f"tenant = {literal(tenant)} AND document_id = {literal(document_id)}"
