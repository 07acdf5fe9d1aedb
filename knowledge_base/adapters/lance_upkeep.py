"""What keeps queries of a Lance table fast: its indices, and compaction after many small commits."""

from datetime import timedelta
from typing import Any

INDEX_VECTORS_FROM = 20_000
"""Chunks; below it every vector is compared, which is exact and fast enough."""
TOO_MANY_PARTS = 16
"""Small files that a query has to open. 83 of them, after 100 changes of rights, doubled the time of a query."""
GROWTH = 4
"""A vector index is trained again when there are so many times the chunks that it was trained on."""
KEPT = timedelta(minutes=1)
"""Older versions of the table go; a query that still reads one is run again."""
VECTOR_INDEX = "vector_of_"


async def create_indices(table: Any) -> None:
    """Full text, and what the access rule and changes look up. Those that are there stay."""
    from lancedb.index import FTS, Bitmap, BTree, LabelList

    wanted = {
        "body": FTS(language="English", stem=True, remove_stop_words=True, ascii_folding=True, with_position=False),
        "key": BTree(),
        "tenant": Bitmap(),
        "document_id": BTree(),
        "level": Bitmap(),
        "readers": LabelList(),
        "superseded_at": BTree(),
    }
    there = {column for index in await table.list_indices() for column in index.columns}
    for column, config in wanted.items():
        if column not in there:
            await table.create_index(column, config=config, replace=False)


async def is_untidy(table: Any) -> bool:
    """Whether queries have become slower than they need to be."""
    small = (await table.stats())["fragment_stats"]["num_small_fragments"]
    return small > TOO_MANY_PARTS or await _wants_vector_index(table)


async def tidy(table: Any) -> None:
    """Merge small files, bring the indices up to date, index the vectors of a large table."""
    await table.optimize(cleanup_older_than=KEPT)
    if await _wants_vector_index(table):
        await _index_vectors(table)


async def _wants_vector_index(table: Any) -> bool:
    trained = await _trained(table)
    return bool(await table.count_rows() >= (max(trained) * GROWTH if trained else INDEX_VECTORS_FROM))


async def _trained(table: Any) -> list[int]:
    """Chunks that the vector indices were trained on; there are two while one replaces the other."""
    names = [index.name for index in await table.list_indices()]
    return [int(name.removeprefix(VECTOR_INDEX)) for name in names if name.startswith(VECTOR_INDEX)]


async def _index_vectors(table: Any) -> None:
    """Partitions of vectors with eight bits a dimension; queries compare the best ones again, exactly."""
    from lancedb.index import IvfSq

    old, rows = await _trained(table), await table.count_rows()
    await table.create_index("vector", config=IvfSq(distance_type="cosine"), name=f"{VECTOR_INDEX}{rows}")
    for earlier in old:
        await table.drop_index(f"{VECTOR_INDEX}{earlier}")
