"""A new index takes the place of an old one while searches go on: for another mapping, or for another embedder.

Chunks are copied, then what changed meanwhile, again and again; for the last of it the old index takes no writes.
Writers try again meanwhile, and go on with the new index, since they know the alias only.
"""

import base64
from typing import TYPE_CHECKING, Any

from knowledge_base.adapters.elastic_client import bulk, scan
from knowledge_base.adapters.elastic_mapping import template
from knowledge_base.ports import Embedder

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

PASSES = 5
SMALL = 200
"""Chunks that may be left for the time without writes."""
_IDS: dict[str, Any] = {"excludes": ["*"]}
_ALL: dict[str, Any] = {"exclude_vectors": False}


async def put_template(client: "AsyncElasticsearch", alias: str, dimension: int) -> None:
    """What indices of this alias look like from now on."""
    made = template(dimension)
    await client.indices.put_index_template(name=alias, index_patterns=[f"{alias}-*"], priority=500, template=made)


def numbered(alias: str, number: int) -> str:
    """Name of an index behind an alias."""
    return f"{alias}-{number:06}"


async def replaced(client: "AsyncElasticsearch", source: str, alias: str, embedder: Embedder | None) -> int:
    """Copy all that is behind `source` into a new index and let `alias` name it. Returns the number of chunks."""
    old = sorted(await client.indices.get_alias(name=source))
    there = await client.indices.get(index=f"{alias}-*", expand_wildcards="all")
    new = numbered(alias, max((int(name.rpartition("-")[2]) for name in there), default=0) + 1)
    await client.indices.create(index=new)
    try:
        await _copy(client, source, new, embedder)
    except BaseException:
        await _allow_writes(client, old)
        await client.indices.delete(index=new)
        raise
    removed = [{"remove": {"index": name, "alias": alias}} for name in old] if source == alias else []
    await client.indices.update_aliases(actions=[{"add": {"index": new, "alias": alias}}, *removed])
    if source == alias:
        await client.indices.delete(index=",".join(old))
    return int((await client.count(index=alias))["count"])


async def _copy(client: "AsyncElasticsearch", source: str, new: str, embedder: Embedder | None) -> None:
    since = -1
    for _ in range(PASSES):
        last = await _last_change(client, source)
        if await _copy_changed(client, source, new, since, embedder) <= SMALL:
            break
        since = last
    await client.indices.add_block(index=source, block="write")
    await _copy_changed(client, source, new, since, embedder)
    await client.indices.refresh(index=new)
    extra = await _ids(client, new) - await _ids(client, source)
    await bulk(client, [{"_op_type": "delete", "_index": new, "_id": id} for id in sorted(extra)], by_alias=False)
    await client.indices.refresh(index=new)


async def _last_change(client: "AsyncElasticsearch", index: str) -> int:
    """Number of a change up to which nothing is missing; each shard counts for itself, so the least of all."""
    found = await client.indices.stats(index=index, metric="docs", level="shards")
    each = [
        copy["seq_no"]["max_seq_no"]
        for one in found["indices"].values()
        for copies in one["shards"].values()
        for copy in copies
    ]
    return min(each, default=-1)


async def _copy_changed(
    client: "AsyncElasticsearch", source: str, new: str, since: int, embedder: Embedder | None
) -> int:
    """Copy what changed after that change. Returns how many chunks."""
    await client.indices.refresh(index=source)
    copied = 0
    async for page in scan(client, source, {"range": {"_seq_no": {"gt": since}}}, _ALL):
        sources = [hit["_source"] for hit in page]
        if embedder is not None:
            await _embed(sources, embedder)
        each = zip(page, sources, strict=True)
        await bulk(
            client, [{"_index": new, "_id": hit["_id"], "_source": found} for hit, found in each], by_alias=False
        )
        copied += len(page)
    return copied


async def _embed(sources: list[dict[str, Any]], embedder: Embedder) -> None:
    import numpy as np

    texts = ["\n".join(part for part in (found["heading"], found["text"]) if part) for found in sources]
    for found, vector in zip(sources, await embedder.embed(texts), strict=True):
        found["vector"] = np.asarray(vector, np.float32)
        found["half"] = base64.b64encode(found["vector"].astype("<f2").tobytes()).decode()


async def _ids(client: "AsyncElasticsearch", index: str) -> set[str]:
    return {hit["_id"] async for page in scan(client, index, {"match_all": {}}, _IDS) for hit in page}


async def _allow_writes(client: "AsyncElasticsearch", indices: list[str]) -> None:
    await client.indices.put_settings(index=",".join(indices), settings={"index.blocks.write": None})
