"""ports.Writes and ports.MergeStore over SQLite, Postgres, and Postgres with a replica."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from common.databases.replicas import Replicated
from common.errors import NotFound
from support_hub.adapters.sql_merges import SqlMerges
from support_hub.adapters.sql_writes import SqlWrites
from support_hub.ports import Merge
from tests.support_hub.adapters.conftest import KEYS

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
MERGE = Merge("merge-1", ("hubspot:1", "zendesk:2"), "ada", NOON, ("name", "company"))


def later() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=60)


async def test_one_of_many_begins_a_write(database: Replicated) -> None:
    writes = SqlWrites(database.primary, KEYS)
    begun = await asyncio.gather(*[writes.begin("one", "digest", later()) for _ in range(8)])
    assert sum(each.is_mine for each in begun) == sum(each.is_first for each in begun) == 1
    await writes.finish("one", {"id": "zendesk:1"})
    again = await writes.begin("one", "another digest", later())
    assert (again.digest, again.is_mine, again.result) == ("digest", False, {"id": "zendesk:1"})


async def test_what_is_not_known_is_taken_over_and_what_was_refused_begins_anew(database: Replicated) -> None:
    writes = SqlWrites(database.primary, KEYS)
    first = await writes.begin("one", "digest", later())
    await writes.release("one")
    assert not (await writes.begin("one", "another digest", later())).is_mine
    second = await writes.begin("one", "digest", later())
    assert (second.is_mine, second.is_first, second.began_at) == (True, False, first.began_at)
    assert not (await writes.begin("one", "digest", later())).is_mine
    await writes.forget("one")
    assert (await writes.begin("one", "digest", later())).is_first


async def test_a_writer_who_is_past_its_time_is_followed_by_one(database: Replicated) -> None:
    writes = SqlWrites(database.primary, KEYS)
    await writes.begin("one", "digest", datetime.now(UTC) - timedelta(seconds=1))
    begun = await asyncio.gather(*[writes.begin("one", "digest", later()) for _ in range(8)])
    assert sum(each.is_mine for each in begun) == 1 and not any(each.is_first for each in begun)


async def test_a_merge_is_there_until_it_is_undone(database: Replicated) -> None:
    merges = SqlMerges(database, KEYS)
    assert await merges.add(MERGE) == MERGE
    assert await merges.add(replace(MERGE, by="ben")) == MERGE, "the first one stays"
    assert await merges.of(["zendesk:2", "zendesk:3"]) == await merges.of(["hubspot:1"]) == [MERGE]
    assert await merges.of(["zendesk:1"]) == []
    undone = [await merges.undo(MERGE.id, who, NOON) for who in ("cleo", "dan")]
    assert undone == [replace(MERGE, undone_by="cleo")] * 2
    assert await merges.of(["zendesk:2"]) == []
    assert await merges.add(replace(MERGE, by="ben")) == replace(MERGE, by="ben")
    assert len(await merges.of(["zendesk:2"])) == 1
    with pytest.raises(NotFound, match="merge-2"):
        await merges.undo("merge-2", "ada", NOON)
