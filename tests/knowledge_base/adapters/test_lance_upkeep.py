"""What keeps a large or much changed table fast, and that answers stay what they are."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.security.access import Access, AccessScope
from knowledge_base.adapters import lance_index, lance_turn, lance_upkeep
from knowledge_base.adapters.lance_index import LanceIndex
from knowledge_base.documents import Chunk, Hit, IndexedChunk
from knowledge_base.filters import Restriction

DIMENSION = 32
ROWS = 600
GROUPS = [f"group-{number}" for number in range(10)]
ANN = Restriction(AccessScope("acme", "ann", frozenset(GROUPS[:3]), "internal"))
RNG = np.random.default_rng(1)


def rows(start: int, stop: int) -> list[IndexedChunk]:
    """Every second document is for one group."""
    vectors = RNG.normal(size=(stop - start, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        IndexedChunk("acme", f"d{number}", 1, "", Chunk(0, "", f"pump {number}", 0, 9), _access(number), {}, vector)
        for number, vector in enumerate(vectors, start)
    ]


def _access(number: int) -> Access:
    return Access(groups=frozenset({GROUPS[number % 10]} if number % 2 else ()))


def near(chunks: Sequence[IndexedChunk], query: np.ndarray, limit: int) -> list[str]:
    """What Ann may read, by comparing everything."""
    mine = [chunk for chunk in chunks if not chunk.access.groups or chunk.access.groups & ANN.scope.groups]
    return [chunk.document_id for chunk in sorted(mine, key=lambda chunk: -float(chunk.vector @ query))[:limit]]


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.document_id for hit in hits]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_upkeep, "INDEX_VECTORS_FROM", ROWS)


async def trained_on(index: LanceIndex) -> list[int]:
    there = await lance_upkeep._vector_indices(await index._open())
    return [int(name.removeprefix(lance_upkeep.VECTOR_INDEX)) for name in there]


async def test_a_vector_index_comes_with_size_is_trained_again_with_growth_and_answers_as_before(
    tmp_path: Path, small: None
) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    everything = rows(0, ROWS - 1)
    await index.add(everything)
    await index.tidy(at_once=False)
    assert await trained_on(index) == []
    for size in (ROWS, ROWS * lance_upkeep.GROWTH):
        more = rows(len(everything), size)
        everything += more
        await index.add(more)
        await index.tidy(at_once=False)
        assert await trained_on(index) == [size]
        queries = [chunk.vector for chunk in rows(0, 20)]
        found = [ids(await index.search_vector(query, ANN, 10)) for query in queries]
        wanted = [near(everything, query, 10) for query in queries]
        shares = [len({*a} & {*b}) / 10 for a, b in zip(found, wanted, strict=True)]
        assert sum(shares) / len(shares) >= 0.95
    [hit] = await index.search_vector(everything[0].vector, ANN, 1)
    assert hit.score == pytest.approx(1.0, abs=1e-5)  # of the vector itself, not of its eight bits
    await index.close()


async def test_rights_change_while_the_vectors_are_indexed(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, beside = LanceIndex(tmp_path, DIMENSION), LanceIndex(tmp_path, DIMENSION)
    everything = rows(0, ROWS)
    await index.add(everything)

    async def meanwhile(table: Any) -> None:
        indexing = asyncio.create_task(lance_upkeep.index_vectors(table))
        async with asyncio.timeout(lance_turn.PATIENCE_SECONDS / 2):
            await beside.set_access("acme", "d0", Access("restricted"))
        await indexing
        await beside.set_access("acme", "d2", Access("restricted"))

    monkeypatch.setattr(lance_index, "index_vectors", meanwhile)
    await index.tidy(at_once=True)
    assert await trained_on(index) == [ROWS]
    for reader in (index, beside):
        for closed in (0, 2):
            assert f"d{closed}" not in ids(await reader.search_vector(everything[closed].vector, ANN, 3))
        assert ids(await reader.search_vector(everything[4].vector, ANN, 1)) == ["d4"]
        await reader.close()


async def test_many_rounds_of_tidying_leave_few_segments_and_files(tmp_path: Path, small: None) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add(rows(0, ROWS))
    await index.tidy(at_once=False)
    table = await index._open()
    for number in range(lance_upkeep.TOO_MANY_SEGMENTS + 2):
        await index.set_access("acme", f"d{number}", Access(groups=frozenset({"others"})))
        await index.tidy(at_once=True)
    [segments] = (await lance_upkeep._vector_indices(table)).values()
    files = (await table.stats())["fragment_stats"]["num_fragments"]
    assert max(segments, files) <= 3
    assert await index.count() == ROWS
    await index.close()


async def test_many_changes_of_rights_are_tidied_by_another_process_and_hold_at_once(tmp_path: Path) -> None:
    index, beside = LanceIndex(tmp_path, DIMENSION), LanceIndex(tmp_path, DIMENSION)
    await index.add(rows(0, 60))
    await beside.warm()
    table = await index._open()
    changed = range(0, 2 * (lance_upkeep.TOO_MANY_PARTS + 2), 2)
    for number in changed:
        assert f"d{number}" in ids(await index.search_text(f"{number}", ANN, 5))
        await index.set_access("acme", f"d{number}", Access(groups=frozenset({"others"})))
        assert f"d{number}" not in ids(await index.search_text(f"{number}", ANN, 5))
    assert await lance_upkeep.is_untidy(table)
    before = {*ids(await index.search_text("pump", ANN, 100))}
    await beside.tidy(at_once=False)
    assert not await lance_upkeep.is_untidy(table)
    assert (
        {*ids(await index.search_text("pump", ANN, 100))}
        == before
        == {*ids(await beside.search_text("pump", ANN, 100))}
    )
    assert not before & {f"d{number}" for number in changed}
    for opened in (index, beside):
        await opened.close()


async def test_tidying_what_nobody_has_opened_loads_nothing(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path / "index", DIMENSION)
    await index.tidy(at_once=True)
    assert not (tmp_path / "index").exists()
