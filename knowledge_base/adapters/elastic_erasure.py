"""Takes what was deleted out of the files of an index.

Elasticsearch keeps deleted chunks for copies of a shard that may have to catch up. Each copy has a lease, renewed every
30 seconds, and what lies behind all leases goes with the next merge.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from common.errors import Unavailable

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

WAIT_SECONDS = 75.0
PAUSE_SECONDS = 0.5
MERGE_SECONDS = 600.0
_PATHS = ["indices.*.shards.*.seq_no.max_seq_no", "indices.*.shards.*.retention_leases.leases.retaining_seq_no"]


async def erase_deleted(client: "AsyncElasticsearch", index: str) -> None:
    """Wait for the leases, then merge. Raises Unavailable if a copy does not catch up; it may be tried again."""
    await client.indices.flush(index=index)
    deleted_before = {shard: max(numbers) for shard, (numbers, _) in (await _shards(client, index)).items()}
    end = time.monotonic() + WAIT_SECONDS
    while not _behind_all_leases(await _shards(client, index), deleted_before):
        if time.monotonic() > end:
            raise Unavailable("Copies of the search index lag behind.", "It is tried again.", retry_after=30)
        await asyncio.sleep(PAUSE_SECONDS)
    patient = client.options(request_timeout=MERGE_SECONDS)
    await patient.indices.forcemerge(index=index, only_expunge_deletes=True)


async def _shards(client: "AsyncElasticsearch", index: str) -> dict[str, tuple[list[int], list[int]]]:
    """Of each shard: the last change of each copy, and from which change on each lease keeps what was deleted."""
    found = await client.indices.stats(index=index, metric="docs", level="shards", filter_path=_PATHS)
    return {
        f"{name}/{shard}": ([copy["seq_no"]["max_seq_no"] for copy in copies], _kept_from(copies))
        for name, stats in found.get("indices", {}).items()
        for shard, copies in stats["shards"].items()
    }


def _kept_from(copies: list[dict[str, Any]]) -> list[int]:
    leases = [lease for copy in copies for lease in copy.get("retention_leases", {}).get("leases", [])]
    return [lease["retaining_seq_no"] for lease in leases]


def _behind_all_leases(shards: dict[str, tuple[list[int], list[int]]], deleted_before: dict[str, int]) -> bool:
    return all(min(shards[name][1], default=last + 1) > last for name, last in deleted_before.items() if name in shards)
