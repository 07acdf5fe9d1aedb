"""Versions: content of then, access of now; restored, compared, cited, and really deleted."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from common.errors import Denied, InvalidInput, NotFound
from common.security.access import Access, AccessScope
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.citations import Citation, parse_citation
from knowledge_base.comparison import compare
from knowledge_base.filters import Restriction
from tests.support.knowledge import add_all, document, knowledge_base_in

ROOT = Path(__file__).parents[2]
ALICE = AccessScope("acme", "alice", frozenset({"eng"}), "confidential")
PAT = AccessScope("acme", "pat")
DAY = 86_400.0
YEAR_AGO = time.time() - 365 * DAY


async def texts(knowledge_base: KnowledgeBase, query: str, as_of: float | None = None) -> list[tuple[int, str, bool]]:
    page = await knowledge_base.search.search(query, PAT, as_of=as_of)
    return [(item.version, item.snippet, item.is_current) for item in page.items]


async def three_versions(knowledge_base: KnowledgeBase) -> None:
    for number, degrees in enumerate((80, 85, 90)):
        at = YEAR_AGO + number * 100 * DAY
        item = document("tea", f"# Tea\n\nOolong is brewed at {degrees} degrees.", created_at=at, title="Tea")
        await add_all(knowledge_base, [item])


async def test_as_of_gives_the_content_of_then(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await three_versions(knowledge_base)
        assert [version for version, *_ in await texts(knowledge_base, "oolong")] == [3]
        for day, version, degrees in ((1, 1, "80"), (101, 2, "85"), (201, 3, "90")):
            [(found, text, current)] = await texts(knowledge_base, "oolong", YEAR_AGO + day * DAY)
            assert (found, current) == (version, version == 3) and degrees in text
        assert await texts(knowledge_base, "oolong", YEAR_AGO - DAY) == []


async def test_the_past_is_readable_by_the_rights_of_now(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await three_versions(knowledge_base)
        await knowledge_base.library.set_access("tea", Access("confidential"), ALICE)
        assert await texts(knowledge_base, "oolong", YEAR_AGO + DAY) == []
        for version in (1, 2, 3):
            with pytest.raises(NotFound):
                await knowledge_base.library.fetch("tea", PAT, version)
        with pytest.raises(NotFound):
            await knowledge_base.library.history("tea", PAT)


async def test_rights_of_a_new_version_reach_the_passages_of_old_ones(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        for number, level in enumerate(("confidential", "public")):
            at = YEAR_AGO + number * 100 * DAY
            await add_all(knowledge_base, [document("tea", f"Oolong {number}.", access=Access(level), created_at=at)])  # type: ignore[arg-type]
        assert [version for version, *_ in await texts(knowledge_base, "oolong", YEAR_AGO + DAY)] == [1]
        assert [version for version, *_ in await texts(knowledge_base, "oolong")] == [2]


async def test_history_says_when_each_version_counted(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await three_versions(knowledge_base)
        history = await knowledge_base.library.history("tea", PAT)
    assert [(entry.version, entry.is_current) for entry in history] == [(3, True), (2, False), (1, False)]
    assert history[0].superseded_at is None
    assert history[1].superseded_at == history[0].published_at


async def test_versions_are_compared_line_by_line(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "# Tea\n\nfirst\n\nlast", metadata={"year": 2025, "a": "x"})])
        await add_all(knowledge_base, [document("tea", "# Tea\n\nsecond\n\nlast", metadata={"year": 2026, "b": ["y"]})])
        comparison = await knowledge_base.library.compare("tea", PAT, 1, 2)
    assert "-first" in comparison.diff and "+second" in comparison.diff
    assert (comparison.added, comparison.removed, comparison.truncated) == (1, 1, False)
    assert comparison.metadata == {"a": ("x", None), "b": (None, ["y"]), "year": (2025, 2026)}


async def test_a_comparison_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def noted(*texts: Any) -> Any:
        threads.append(threading.current_thread())
        return compare(*texts)

    monkeypatch.setattr("knowledge_base.library.compare", noted)
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "first")])
        await knowledge_base.library.compare("tea", PAT, 1, 1)
    assert threads != [threading.main_thread()]


async def test_an_old_version_comes_back_as_a_new_one(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await three_versions(knowledge_base)
        restored = await knowledge_base.library.restore("tea", 1, ALICE)
        await add_all(knowledge_base, [])
        assert restored.version == 4
        [(version, text, _)] = await texts(knowledge_base, "oolong")
        assert version == 4 and "80" in text
        assert len(await knowledge_base.library.history("tea", PAT)) == 4


async def test_a_restored_version_undoes_no_revocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await three_versions(knowledge_base)
        objects = knowledge_base.library._objects
        get = objects.get

        async def meanwhile(key: str) -> bytes:
            await knowledge_base.library.set_access("tea", Access("confidential"), ALICE)
            return await get(key)

        monkeypatch.setattr(objects, "get", meanwhile)
        await knowledge_base.library.restore("tea", 1, ALICE)
        assert await knowledge_base.catalog.access("acme", "tea") == Access("confidential")


async def test_a_citation_gives_its_passage_for_ever(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await three_versions(knowledge_base)
        [item] = (await knowledge_base.search.search("oolong", PAT, as_of=YEAR_AGO + DAY)).items
        passage = await knowledge_base.library.passage(parse_citation(item.citation), PAT)
        assert "80 degrees" in passage.text and passage.version.version == 1
        for citation in (Citation("tea", 1, 0, 10_000), Citation("tea", 1, 5, 2)):
            with pytest.raises(InvalidInput):
                await knowledge_base.library.passage(citation, PAT)


@pytest.mark.parametrize("text", ["", "tea", "kb://documents/../x/versions/1", "kb://documents/tea/versions/x"])
def test_what_is_no_citation_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_citation(text)


@pytest.mark.parametrize("passage", [Citation("tea", 3), Citation("tea", 3, 10, 20)])
def test_a_citation_is_read_as_it_was_written(passage: Citation) -> None:
    assert parse_citation(str(passage)) == passage


async def test_access_changes_are_seen_by_the_very_next_search_of_another_process(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as writer, knowledge_base_in(tmp_path) as reader:
        await add_all(writer, [document("tea", "Oolong.")])
        for access, visible in ((Access("internal"), False), (Access("public"), True)) * 3:
            await writer.library.set_access("tea", access, ALICE)
            assert bool(await texts(reader, "oolong")) is visible


async def test_a_revocation_holds_even_if_the_index_never_hears_of_it(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "Oolong.")])
        await knowledge_base.catalog.set_access("tea", Access("internal"), ALICE, "batch", 0)  # and then a crash
        assert await texts(knowledge_base, "oolong") == []
        assert len(await knowledge_base.index.search_text("oolong", Restriction(PAT), 5)) == 1
        while await knowledge_base.queue.pending():
            await knowledge_base.worker.work_once()
        assert await knowledge_base.index.search_text("oolong", Restriction(PAT), 5) == []


async def test_of_many_changes_at_once_index_and_catalogue_end_up_the_same(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "Oolong.")])
        levels = ("public", "internal", "confidential") * 4
        await asyncio.gather(*(knowledge_base.library.set_access("tea", Access(level), ALICE) for level in levels))  # type: ignore[arg-type]
        final = await knowledge_base.catalog.access("acme", "tea")
        assert final is not None
        for scope in (PAT, ALICE):
            found = await knowledge_base.index.search_text("oolong", Restriction(scope), 5)
            assert bool(found) is (scope.level >= final.level)


async def test_nobody_classifies_above_their_clearance_or_changes_what_they_cannot_read(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "Oolong.", access=Access("internal"))])
        with pytest.raises(Denied):
            await knowledge_base.library.set_access("tea", Access("restricted"), ALICE)
        for call in (
            knowledge_base.library.set_access("tea", Access("public"), PAT),
            knowledge_base.library.delete("tea", PAT),
            knowledge_base.library.restore("tea", 1, PAT),
        ):
            with pytest.raises(NotFound):
                await call


def raw_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_deletion_is_at_once_and_real(tmp_path: Path) -> None:
    canary = "Xylocarpus-7731"
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", f"Oolong {canary}."), document("mug", "A mug.")])
        await add_all(knowledge_base, [document("tea", f"Oolong again {canary}.")])
        assert canary.encode() in raw_bytes(tmp_path)
        await knowledge_base.library.delete("tea", ALICE)
        for as_of in (None, time.time()):
            assert all(canary not in text for _, text, _ in await texts(knowledge_base, "oolong", as_of))
        with pytest.raises(NotFound):
            await knowledge_base.library.fetch("tea", ALICE, 1)
        while await knowledge_base.queue.pending():
            await knowledge_base.worker.work_once()
        with closing(sqlite3.connect(tmp_path / "knowledge-base" / "catalog.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert canary.encode() not in raw_bytes(tmp_path / "knowledge-base" / "index")
        assert canary.encode() not in raw_bytes(tmp_path / "knowledge-base" / "objects")
        assert [text for _, text, _ in await texts(knowledge_base, "oolong")] == ["A mug."]
        await add_all(knowledge_base, [document("tea", "Tea is back.")])
        assert (await knowledge_base.library.fetch("tea", PAT)).text == "Tea is back."


def test_a_search_in_a_process_of_its_own_sees_what_was_written(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tests.support.knowledge import *\n"
        "async def main():\n"
        "    async with knowledge_base_in(Path(sys.argv[1])) as kb:\n"
        "        print(len((await kb.search.search('oolong', AccessScope('acme', 'pat'))).items))\n"
        "asyncio.run(main())"
    )

    async def write() -> None:
        async with knowledge_base_in(tmp_path) as knowledge_base:
            await add_all(knowledge_base, [document("tea", "Oolong.")])

    asyncio.run(write())
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr
