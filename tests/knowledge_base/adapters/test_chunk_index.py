"""What the port of an index promises, on each backend: rights, words, versions, and that all see it at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.security.access import LEVELS, Access, AccessScope, may_read
from knowledge_base.documents import Chunk, Hit, Validity
from knowledge_base.filters import Restriction
from knowledge_base.ports import BothAtOnce, ChunkIndex
from tests.support.chunks import ALICE, BACKENDS, Backend, ids, new_index, row, server_of, vector


async def each_way(index: ChunkIndex, restriction: Restriction, limit: int = 100) -> list[list[Hit]]:
    """What is found for "pump" and the first vector."""
    found = [
        await index.search_text("pump", restriction, limit),
        await index.search_vector(vector(1), restriction, limit),
    ]
    if isinstance(index, BothAtOnce):
        both = await index.search_both("pump", vector(1), restriction, limit)
        # All but the scores: a merge between two searches takes removed chunks out of the statistics of words.
        assert [[replace(hit, score=0.0) for hit in hits] for hits in both] == [
            [replace(hit, score=0.0) for hit in hits] for hits in found
        ]
    return found


@pytest.fixture(params=BACKENDS)
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ChunkIndex]:
    async with new_index(request.param, server_of(request.param, request), tmp_path) as index:
        yield index


async def test_an_empty_index_finds_nothing(index: ChunkIndex) -> None:
    await index.warm()
    assert await each_way(index, ALICE) == [[], []]
    await index.remove("acme", "unknown", 9)
    await index.optimize()
    await index.add([])
    assert await index.count() == 0


async def test_a_hit_has_all_that_was_written(index: ChunkIndex) -> None:
    written = row("a", "Pumps failed", title="Report")
    await index.add([written])
    for [hit] in await each_way(index, ALICE):
        part = written.chunk
        assert (hit.document_id, hit.version, hit.title, hit.metadata) == ("a", 1, "Report", {"n": 1, "tags": ["a"]})
        assert Chunk(hit.number, hit.section, hit.text, hit.start, hit.end) == part
        assert hit.score > 0


async def test_text_is_found_by_stem_title_and_section_best_first(index: ChunkIndex) -> None:
    await index.add(
        [row("a", "Replacing filters"), row("b", "filter filter filter"), row("c", "Other", title="Filters")]
    )
    await index.optimize()
    await index.add([row("d", "a café with a filter")])  # not yet in the full-text index
    assert set(ids(await index.search_text("filtered", ALICE, 10))) == {"a", "b", "c", "d"}
    assert ids(await index.search_text("filters", ALICE, 10))[0] == "b"
    assert ids(await index.search_text("CAFE", ALICE, 10)) == ["d"]
    assert len(await index.search_text("section", ALICE, 10)) == 4
    await index.add([row("e", "हिन्दी भाषा")])  # its vowels are marks beside the letters
    assert ids(await index.search_text("हिन्दी?", ALICE, 10)) == ["e"]
    assert len(await index.search_text("filter", ALICE, 2)) == 2


QUERIES = [
    "",
    "  ",
    "the of and",
    "?!,.;",
    "🙂",
    "\x00",
    "AND OR NOT",
    '"',
    "(",
    "pump^9",
    "a:b",
    "-pump",
    "*",
    "pump~2",
]


async def test_no_query_is_an_operator_or_an_error(index: ChunkIndex) -> None:
    await index.add([row("a", "pump"), row("b", "valve")])
    for query in [*QUERIES, "x" * 100_000, "word " * 100_000, "\u0301" * 50_000]:
        assert ids(await index.search_text(query, ALICE, 10)) == (["a"] if "pump" in query else []), query[:20]
    assert ids(await index.search_text("-pump (valve", ALICE, 10)) == ["a", "b"]
    assert await index.search_text("pump", ALICE, 0) == await index.search_vector(vector(1), ALICE, 0) == []


async def test_vectors_are_ranked_by_cosine(index: ChunkIndex) -> None:
    await index.add([row("near", vector_=vector(1, 0.1)), row("far", vector_=vector(0, 1)), row("same")])
    hits = await index.search_vector(vector(1), ALICE, 10)
    assert ids(hits) == ["same", "near", "far"]
    assert [hit.score for hit in hits] == pytest.approx([1, 1 / 1.01**0.5, 0], abs=1e-6)


async def test_adding_again_replaces_and_versions_go_one_by_one(index: ChunkIndex) -> None:
    await index.add([row("a", "old"), row("a", "kept", number=1), row("b", "pump")])
    await index.add([row("a", "new")])
    assert await index.count() == 3
    assert not await index.search_text("old", ALICE, 10)
    assert ids(await index.search_text("new kept", ALICE, 10)) == ["a", "a"]
    await index.add([row("a", "next", version=2), row("a", "foreign", tenant="other")])
    await index.supersede([Validity("acme", "a", 1, 5.0)])
    assert [(hit.document_id, hit.version) for hit in await index.search_text("new kept next", ALICE, 10)] == [("a", 2)]
    await index.remove("acme", "a", 2)
    assert ids(await index.search_text("new kept next pump", ALICE, 10)) == ["b"]
    assert await index.count() == 2


async def test_similar_names_do_not_share_a_key(index: ChunkIndex) -> None:
    await index.add([row("b/1", tenant="a"), row("1", tenant="a/b"), row("b", tenant="a"), row('b",1', tenant="a")])
    assert await index.count() == 4


async def test_changed_access_counts_in_the_very_next_search(index: ChunkIndex) -> None:
    await index.add([row("a"), row("a", number=1), row("b")])
    await index.optimize()
    await index.set_access("acme", "a", Access("internal", owners=frozenset({"o'hara"})))
    owner = Restriction(AccessScope("acme", "o'hara", clearance="internal"))
    for found in await each_way(index, ALICE):
        assert ids(found) == ["b"]
    for found in await each_way(index, owner):
        assert sorted(ids(found)) == ["a", "a", "b"]
    await index.set_access("acme", "a", Access("restricted"))
    assert ids(await index.search_text("pump", owner, 9)) == ["b"]


# Quotes, backslashes, wildcards, comments, line ends, lookalikes, the other label's prefix, the label for everyone.
NAMES = [
    "alice",
    "eng",
    "*",
    "g:eng",
    "u:alice",
    "",
    "o'hara",
    "a'b''c",
    "a\\",
    "\\'",
    "a\nb",
    "a\tb",
    "%",
    "_",
    "--",
    "é",
]
NAMES += ["e\u0301", "🙂", "') OR true --", "']) OR true --", '"', "null", "a,b", "[x]", "ENG", " eng"]
NAME = st.one_of(st.sampled_from(NAMES), st.text(max_size=6))
ACCESS = st.builds(
    Access, st.sampled_from(list(LEVELS)), st.frozensets(NAME, max_size=3), st.frozensets(NAME, max_size=2)
)
TENANT = st.sampled_from(["acme", "o'corp", "a\\", "acme' --", ""])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[tuple[str, Access]], list[AccessScope]]:
    documents = draw(st.lists(st.tuples(TENANT, ACCESS), min_size=20, max_size=60))
    groups = st.frozensets(NAME, max_size=4)
    scopes = draw(st.lists(st.builds(AccessScope, TENANT, NAME, groups, st.sampled_from(list(LEVELS))), min_size=40))
    return documents, scopes


World = tuple[list[tuple[str, Access]], list[AccessScope]]


async def finds_what_may_be_read(index: ChunkIndex, world: World) -> None:
    documents, scopes = world
    rows = [row(str(n), tenant=tenant, access=access) for n, (tenant, access) in enumerate(documents)]
    await index.add(rows[: len(rows) // 2])
    await index.optimize()
    await index.add(rows[len(rows) // 2 :])
    for scope in scopes:
        wanted = {str(n) for n, (tenant, access) in enumerate(documents) if may_read(scope, tenant, access)}
        for hits in await each_way(index, Restriction(scope)):
            assert set(ids(hits)) == wanted, scope


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_finds_exactly_what_the_scope_may_read(
    backend: Backend, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    every_world(backend, server_of(backend, request), tmp_path_factory, 1 if backend == "pinecone" else 2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_finds_exactly_what_the_scope_may_read_in_many_worlds(
    backend: Backend, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Elasticsearch shows what was written a second later; each write waits for that.
    every_world(backend, server_of(backend, request), tmp_path_factory, 6 if backend == "elasticsearch" else 12)


def every_world(backend: Backend, url: str, folders: pytest.TempPathFactory, examples: int) -> None:
    # Shrinking would take minutes.
    @settings(phases=[Phase.generate], max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(world=worlds())
    def check(world: World) -> None:
        async def run() -> None:
            async with new_index(backend, url, folders.mktemp("world")) as index:
                await finds_what_may_be_read(index, world)

        asyncio.run(run())

    check()


async def test_the_limit_counts_only_what_may_be_read(index: ChunkIndex) -> None:
    """A filter behind the search would find nothing: a hundred better chunks are not for this caller."""
    secret = [row(f"s{n}", "pump pump pump", access=Access("restricted")) for n in range(100)]
    await index.add([*secret, row("mine", "one pump", vector_=vector(1, 1))])
    await index.optimize()
    for found in await each_way(index, ALICE, 1):
        assert ids(found) == ["mine"]
