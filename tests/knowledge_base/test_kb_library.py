"""Documents in, versions, and what happens between accept and publish."""

from pathlib import Path

import pytest

from common.errors import AppError, Conflict, Denied, InvalidInput
from common.security.access import Access, AccessScope
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import NewDocument
from knowledge_base.filters import Restriction
from tests.support.knowledge import add_all, document, knowledge_base_in

ALICE = AccessScope("acme", "alice", frozenset({"eng"}), "confidential")


async def found(knowledge_base: KnowledgeBase, query: str, scope: AccessScope = ALICE) -> list[tuple[str, int]]:
    page = await knowledge_base.search.search(query, scope)
    return [(item.document_id, item.version) for item in page.items]


async def test_nothing_is_visible_before_it_is_published(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        accepted = await knowledge_base.library.add(document("tea", "Tea needs boiling water."), ALICE)
        [job] = await knowledge_base.queue.claim(5)
        [prepared] = await knowledge_base.worker._prepare([job])
        await knowledge_base.index.add(prepared.chunks)  # a crash here must show nothing
        assert await found(knowledge_base, "tea") == []
        assert await knowledge_base.library.page(ALICE, 10) == ([], None)
        await knowledge_base.worker._publish([prepared])
        assert await found(knowledge_base, "tea") == [("tea", accepted.version)]


async def test_a_new_version_replaces_the_old_one_in_one_step(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "Tea needs boiling water.", title="Tea")])
        await add_all(knowledge_base, [document("tea", "Tea needs oolong leaves.", title="Tea")])
        assert await found(knowledge_base, "tea") == [("tea", 2)]
        text = (await knowledge_base.library.fetch("tea", ALICE)).text
        old = (await knowledge_base.library.fetch("tea", ALICE, version=1)).text
        assert "oolong" in text and "boiling" in old
        assert {hit.version for hit in await knowledge_base.index.search_text("tea", Restriction(ALICE), 10)} == {2}


async def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "Tea.", title="Tea")])
        again = await knowledge_base.library.add(document("tea", "Tea.", title="Tea"), ALICE)
        assert (again.version, again.batch) == (1, None)
        changed = await knowledge_base.library.add(document("tea", "Tea.", title="Tea", metadata={"a": 1}), ALICE)
        assert changed.version == 2


async def test_an_older_version_that_comes_late_does_not_win(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await knowledge_base.library.add(document("tea", "first"), ALICE)
        await knowledge_base.library.add(document("tea", "second"), ALICE)
        jobs = sorted(await knowledge_base.queue.claim(5), key=lambda job: -job.payload["version"])
        for job in jobs:
            [prepared] = await knowledge_base.worker._prepare([job])
            await knowledge_base.worker._publish([prepared])
        assert (await knowledge_base.library.fetch("tea", ALICE)).text == "second"
        assert await found(knowledge_base, "second") == [("tea", 2)]


async def test_rights_that_are_taken_away_count_at_once(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "Tea.")])
        pat = AccessScope("acme", "pat")
        assert await found(knowledge_base, "tea", pat) == [("tea", 1)]
        await knowledge_base.library.add(document("tea", "Tea, better.", access=Access("confidential")), ALICE)
        # The new version is not indexed yet, and the old chunks are still marked public.
        assert await found(knowledge_base, "tea", pat) == []


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (document("../etc", "x"), InvalidInput),
        (document("a" * 200, "x"), InvalidInput),
        (document("tea", "x", tenant="other"), Denied),
        (document("tea", "x", access=Access("restricted")), Denied),
        (NewDocument("acme", "tea", "tea.exe", b"MZ", Access()), InvalidInput),
        (document("tea", " \n"), InvalidInput),
    ],
    ids=["path", "long id", "tenant", "clearance", "kind", "empty"],
)
async def test_what_cannot_be_taken_in_is_refused(tmp_path: Path, item: NewDocument, error: type[AppError]) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        with pytest.raises(error):
            await knowledge_base.library.add(item, ALICE)
        assert await knowledge_base.queue.pending() == 0


async def test_nobody_overwrites_what_they_cannot_read(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        secret = document("plan", "The plan.", access=Access("internal", owners=frozenset({"bob"})))
        await add_all(knowledge_base, [secret])
        with pytest.raises(Conflict):
            await knowledge_base.library.add(document("plan", "Mine now."), ALICE)


async def test_a_job_whose_worker_died_is_taken_up_again(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        knowledge_base.queue.lease_seconds = 0.0
        await knowledge_base.library.add(document("tea", "Tea."), ALICE)
        assert len(await knowledge_base.queue.claim(5)) == 1  # and then the worker dies
        while await knowledge_base.queue.pending():
            await knowledge_base.worker.work_once()
        assert await found(knowledge_base, "tea") == [("tea", 1)]


async def test_a_document_that_cannot_be_parsed_fails_alone_and_with_a_reason(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        broken = NewDocument("acme", "broken", "broken.pdf", b"%PDF-1.7\nnothing else\n%%EOF", Access("public"))
        batch = (await knowledge_base.library.add(broken, ALICE)).batch
        await add_all(knowledge_base, [document("tea", "Tea.")])
        progress = await knowledge_base.queue.progress(str(batch))
        assert progress is not None and progress.state == "failed"
        assert "broken.pdf" in progress.errors[0]["error"]
        assert await found(knowledge_base, "tea") == [("tea", 1)]
