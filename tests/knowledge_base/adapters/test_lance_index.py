"""The index as the port promises it, on real tables: rights, words, versions, erasure, several processes."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import SettingsError
from common.security.access import LEVELS, Access, AccessScope, may_read
from knowledge_base.adapters.lance_filter import access_filter
from knowledge_base.adapters.lance_index import LanceIndex
from knowledge_base.documents import Chunk, Hit, IndexedChunk, Validity, Vector
from knowledge_base.filters import Restriction

ALICE = Restriction(AccessScope("acme", "alice", frozenset({"eng"}), "confidential"))
DIMENSION = 4


def vector(*values: float) -> Vector:
    array = np.array([*values, *[0.0] * (DIMENSION - len(values))], dtype=np.float32)
    return array / np.linalg.norm(array)


def row(
    document_id: str,
    text: str = "pump",
    *,
    number: int = 0,
    version: int = 1,
    tenant: str = "acme",
    title: str = "",
    access: Access | None = None,
    vector_: Vector = None,
) -> IndexedChunk:
    part = Chunk(number, "Section", text, 5, 5 + len(text))
    embedded = vector(1.0) if vector_ is None else vector_
    return IndexedChunk(
        tenant, document_id, version, title, part, access or Access(), {"n": 1, "tags": ["a"]}, embedded
    )


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.document_id for hit in hits]


async def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path / "new" / "index", DIMENSION)
    await index.warm()
    assert await index.search_text("pump", ALICE, 10) == []
    assert await index.search_vector(vector(1), ALICE, 10) == []
    await index.remove("acme", "unknown", 9)
    await index.optimize()
    await index.add([])
    assert await index.count() == 0
    await index.close()


async def test_a_hit_has_all_that_was_written(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    written = row("a", "Pumps failed", title="Report")
    await index.add([written])
    for hit in (*await index.search_text("pump", ALICE, 10), *await index.search_vector(vector(1), ALICE, 10)):
        part = written.chunk
        assert (hit.document_id, hit.version, hit.title, hit.metadata) == ("a", 1, "Report", {"n": 1, "tags": ["a"]})
        assert Chunk(hit.number, hit.section, hit.text, hit.start, hit.end) == part
        assert hit.score > 0
    await index.close()


async def test_text_is_found_by_stem_title_and_section_best_first(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add(
        [row("a", "Replacing filters"), row("b", "filter filter filter"), row("c", "Other", title="Filters")]
    )
    await index.optimize()
    await index.add([row("d", "a café with a filter")])  # not yet in the full-text index
    assert set(ids(await index.search_text("filtered", ALICE, 10))) == {"a", "b", "c", "d"}
    assert ids(await index.search_text("filters", ALICE, 10))[0] == "b"
    assert ids(await index.search_text("CAFE", ALICE, 10)) == ["d"]
    assert len(await index.search_text("section", ALICE, 10)) == 4
    assert len(await index.search_text("filter", ALICE, 2)) == 2
    await index.close()


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


async def test_no_query_is_an_operator_or_an_error(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add([row("a", "pump"), row("b", "valve")])
    for query in [*QUERIES, "x" * 100_000, "word " * 100_000, "\u0301" * 50_000]:
        assert ids(await index.search_text(query, ALICE, 10)) == (["a"] if "pump" in query else []), query[:20]
    assert ids(await index.search_text("-pump (valve", ALICE, 10)) == ["a", "b"]
    assert await index.search_text("pump", ALICE, 0) == await index.search_vector(vector(1), ALICE, 0) == []
    await index.close()


async def test_vectors_are_ranked_by_cosine(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add([row("near", vector_=vector(1, 0.1)), row("far", vector_=vector(0, 1)), row("same")])
    hits = await index.search_vector(vector(1), ALICE, 10)
    assert ids(hits) == ["same", "near", "far"]
    assert [hit.score for hit in hits] == pytest.approx([1, 1 / 1.01**0.5, 0], abs=1e-6)
    await index.close()


async def test_adding_again_replaces_and_versions_go_one_by_one(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
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
    await index.close()


async def test_similar_names_do_not_share_a_key(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add([row("b/1", tenant="a"), row("1", tenant="a/b"), row("b", tenant="a"), row('b",1', tenant="a")])
    assert await index.count() == 4
    await index.close()


async def test_changed_access_counts_in_the_very_next_search(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add([row("a"), row("a", number=1), row("b")])
    await index.optimize()
    await index.set_access("acme", "a", Access("internal", owners=frozenset({"o'hara"})))
    owner = Restriction(AccessScope("acme", "o'hara", clearance="internal"))
    for found in (await index.search_text("pump", ALICE, 9), await index.search_vector(vector(1), ALICE, 9)):
        assert ids(found) == ["b"]
    for found in (await index.search_text("pump", owner, 9), await index.search_vector(vector(1), owner, 9)):
        assert sorted(ids(found)) == ["a", "a", "b"]
    await index.set_access("acme", "a", Access("restricted"))
    assert ids(await index.search_text("pump", owner, 9)) == ["b"]
    await index.close()


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


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_lance_finds_exactly_what_the_scope_may_read(
    world: tuple[list[tuple[str, Access]], list[AccessScope]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    documents, scopes = world

    async def check(folder: Path) -> None:
        index = LanceIndex(folder, DIMENSION)
        rows = [row(str(n), tenant=tenant, access=access) for n, (tenant, access) in enumerate(documents)]
        await index.add(rows[: len(rows) // 2])
        await index.optimize()
        await index.add(rows[len(rows) // 2 :])
        for scope in scopes:
            wanted = {str(n) for n, (tenant, access) in enumerate(documents) if may_read(scope, tenant, access)}
            assert set(ids(await index.search_text("pump", Restriction(scope), 100))) == wanted, access_filter(scope)
            assert set(ids(await index.search_vector(vector(1), Restriction(scope), 100))) == wanted, access_filter(
                scope
            )
        await index.close()

    asyncio.run(check(tmp_path_factory.mktemp("lance")))


async def test_the_limit_counts_only_what_may_be_read(tmp_path: Path) -> None:
    """A filter behind the search would find nothing: a hundred better chunks are not for this caller."""
    index = LanceIndex(tmp_path, DIMENSION)
    secret = [row(f"s{n}", "pump pump pump", access=Access("restricted")) for n in range(100)]
    await index.add([*secret, row("mine", "one pump", vector_=vector(1, 1))])
    await index.optimize()
    assert ids(await index.search_text("pump", ALICE, 1)) == ["mine"]
    assert ids(await index.search_vector(vector(1), ALICE, 1)) == ["mine"]
    await index.close()


async def test_a_long_ingest_does_not_leave_everything_unindexed(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    for n in range(45):
        await index.add([row(f"d{n}")])
    statistics = await (await index._open()).index_stats("body_idx")
    assert statistics.num_indexed_rows == 40
    assert len(await index.search_text("pump", ALICE, 100)) == 45
    await index.close()


async def test_optimize_leaves_no_removed_text_on_the_disk(tmp_path: Path) -> None:
    """One removed row of many is below the share at which Lance rewrites a file by itself."""
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add([row(f"d{n}", "harmless words") for n in range(200)])
    await index.add([row("secret", "CANARYWORD of the removed document"), row("new", "CANARYOLD of the first version")])
    await index.optimize()
    await index.add([row("new", "the second version")])
    await index.remove("acme", "secret", 9)
    assert stored(tmp_path, b"CANARYWORD")
    await index.optimize()
    assert not stored(tmp_path, b"CANARY")
    assert await index.count() == 201
    assert ids(await index.search_text("second", ALICE, 5)) == ["new"]
    await index.close()


def stored(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def test_an_index_is_opened_again(tmp_path: Path) -> None:
    for number in range(1, 4):
        index = LanceIndex(tmp_path, DIMENSION)
        await index.add([row(f"doc-{number}")])
        assert await index.count() == number
        await index.close()


async def test_an_index_of_another_embedder_is_refused(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.count()
    await index.close()
    with pytest.raises(SettingsError, match="of another embedder"):
        await LanceIndex(tmp_path, DIMENSION + 1).count()


PEER = """
import asyncio, sys
from pathlib import Path
from tests.knowledge_base.adapters.test_lance_index import ALICE, DIMENSION, LanceIndex, ids, row, vector

async def main():
    index = LanceIndex(Path(sys.argv[1]), DIMENSION)
    await index.warm()
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "find":
            print(*ids(await index.search_text(argument, ALICE, 1000)), flush=True)
        elif command == "add":
            for n in range(20):
                await index.add([row(f"{argument}-{n}"), row(f"both-{n}")])
            print("added", flush=True)
        elif command == "read":
            for n in range(200):
                assert ids(await index.search_text("steady", ALICE, 5)) == ["steady"]
                assert len(await index.search_vector(vector(1), ALICE, 1)) == 1
            print("read", flush=True)

asyncio.run(main())
"""


class Peer:
    """Another process on the same folder."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", PEER, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.hear() == "ready"

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate(timeout=30)


async def test_processes_share_one_folder(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add([row("steady", "steady")])
    peer = await asyncio.to_thread(Peer, tmp_path)
    try:
        await index.add([row("fresh", "fresh")])
        peer.say("find fresh")
        assert await asyncio.to_thread(peer.hear) == "fresh"
        await index.remove("acme", "fresh", 9)
        peer.say("find fresh")
        assert await asyncio.to_thread(peer.hear) == ""

        peer.say("add theirs")
        await asyncio.gather(*(index.add([row(f"ours-{n}"), row(f"both-{n}")]) for n in range(20)))
        assert await asyncio.to_thread(peer.hear) == "added"
        assert len(set(ids(await index.search_text("pump", ALICE, 1000)))) == await index.count() - 1 == 60

        peer.say("read")
        reading = asyncio.create_task(asyncio.to_thread(peer.hear))
        while not reading.done():
            await index.add([row("steady", "steady"), row("more", "pump")])
            await index.optimize()
        assert await reading == "read"
    finally:
        await asyncio.to_thread(peer.end)
        await index.close()
