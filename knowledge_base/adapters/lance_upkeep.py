"""What keeps queries of a Lance table fast: its indices, and compaction after many small commits."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

INDEX_VECTORS_FROM = 20_000
"""Chunks; below it every vector is compared, which is exact and fast enough."""
TOO_MANY_PARTS = 16
"""Small files that a query has to open. 83 of them, after 100 changes of rights, doubled the time of a query."""
GROWTH = 4
"""A vector index is trained again when there are so many times the chunks that it was trained on."""
TOO_MANY_SEGMENTS = 8
"""Parts of the vector index. Each merge of small files adds one, which a query has to search (0.7 ms), and files in
different parts are never merged: 104 of them made a search in 100,000 chunks take 85 ms instead of 20."""
KEPT = timedelta(minutes=1)
"""Older versions of the table go; a query that still reads one is run again."""
VECTOR_INDEX = "vector_of_"
TRAINING_ROUNDS, TRAINING_SAMPLE = 10, 32
"""Of the partitions' centres, and vectors a partition to find them by: a sixth of the time of Lance's own 50 and 256,
and no less found."""


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
        "superseded_at": Bitmap(),
    }
    there = {column for index in await table.list_indices() for column in index.columns}
    for column, config in wanted.items():
        if column not in there:
            await table.create_index(column, config=config, replace=False)


async def is_untidy(table: Any) -> bool:
    """Whether queries have become slower than they need to be."""
    small = (await table.stats())["fragment_stats"]["num_small_fragments"]
    return small > TOO_MANY_PARTS or await _wants_vector_index(table, await _vector_indices(table))


async def tidy(table: Any) -> bool:
    """Merge small files, bring the indices up to date; whether `index_vectors` is to follow."""
    indices = await _vector_indices(table)
    renewed = await _wants_vector_index(table, indices)
    if renewed:
        # Until there is a new one, queries compare all vectors: training on files that were not merged takes minutes.
        for name in indices:
            await table.drop_index(name)
    await table.optimize(cleanup_older_than=KEPT)
    return renewed


async def _wants_vector_index(table: Any, there: Mapping[str, int]) -> bool:
    if sum(there.values()) > TOO_MANY_SEGMENTS:
        return True
    trained_on = max((int(name.removeprefix(VECTOR_INDEX)) for name in there), default=0)
    return bool(await table.count_rows() >= (trained_on * GROWTH or INDEX_VECTORS_FROM))


async def _vector_indices(table: Any) -> dict[str, int]:
    """The segments of each vector index; its name tells how many chunks it was trained on."""
    return {each.name: each.num_segments for each in await table.list_indices() if each.name.startswith(VECTOR_INDEX)}


async def index_vectors(table: Any) -> None:
    """Partitions of vectors with eight bits a dimension; queries compare the best ones again, exactly.

    Takes seconds for 100,000 chunks. What is written meanwhile is in no index, and compared as it is.
    """
    from lancedb.index import IvfSq

    config = IvfSq(distance_type="cosine", max_iterations=TRAINING_ROUNDS, sample_rate=TRAINING_SAMPLE)
    await table.create_index("vector", config=config, name=f"{VECTOR_INDEX}{await table.count_rows()}")
