"""Deletion is real: also when it is interrupted, when an ingest is under way, and when the id is used again at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.errors import NotFound
from common.jobs import Job
from common.security.access import Access, AccessScope
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.erasure import Erasure
from knowledge_base.filters import Restriction
from tests.support.knowledge import add_all, document, knowledge_base_in

CANARY = "Xylocarpus-7731"
PAT = AccessScope("acme", "pat")
OPERATOR = AccessScope("acme", "operator", clearance="restricted")


class Crash(BaseException):
    """The end of a process, as far as the code in it can tell."""


@pytest_asyncio.fixture
async def knowledge_base(tmp_path: Path) -> AsyncIterator[KnowledgeBase]:
    async with knowledge_base_in(tmp_path) as opened:
        yield opened


async def work_until_idle(knowledge_base: KnowledgeBase) -> None:
    while await knowledge_base.worker.work_once():
        pass


async def claimed(knowledge_base: KnowledgeBase) -> Job:
    [job] = await knowledge_base.queue.claim(5)
    return job


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """All leases are over."""
    monkeypatch.setattr("common.jobs.sql.time.time", lambda now=time.time: now() + 61)


def left_in(folder: Path) -> list[str]:
    """Files of index and objects that still hold the canary."""
    rooms = (folder / "knowledge-base" / name for name in ("index", "objects"))
    files = (file for room in rooms for file in room.rglob("*") if file.is_file())
    return [str(file.relative_to(folder)) for file in files if CANARY.encode() in file.read_bytes()]


async def test_an_interrupted_erasure_is_completed(
    knowledge_base: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_all(knowledge_base, [document("tea", f"Oolong {CANARY}.")])
    await knowledge_base.library.delete("tea", OPERATOR)
    job = await claimed(knowledge_base)

    async def crash(*_: object) -> None:
        raise Crash

    for step in ("_objects.erase", "_catalog.forget", "_index.optimize"):
        with monkeypatch.context() as patched:
            owner, name = step.split(".")
            patched.setattr(getattr(knowledge_base.worker, owner), name, crash)
            with pytest.raises(Crash):
                await knowledge_base.worker.erasures.erase([Erasure(job)])
    await knowledge_base.worker.erasures.erase([Erasure(job)])
    assert left_in(tmp_path) == []


async def test_what_was_never_published_is_erased_too(knowledge_base: KnowledgeBase, tmp_path: Path) -> None:
    await knowledge_base.library.add(document("tea", f"Oolong {CANARY}.\r\n"), OPERATOR)
    await knowledge_base.worker._prepare([await claimed(knowledge_base)])  # and then a crash
    assert left_in(tmp_path)
    await knowledge_base.library.delete("tea", OPERATOR)
    await work_until_idle(knowledge_base)
    assert left_in(tmp_path) == []


async def test_an_ingest_that_a_deletion_overtakes_leaves_nothing(
    knowledge_base: KnowledgeBase, tmp_path: Path
) -> None:
    batch = (await knowledge_base.library.add(document("tea", f"Oolong {CANARY}."), OPERATOR)).batch
    [prepared] = await knowledge_base.worker._prepare([await claimed(knowledge_base)])
    async with knowledge_base_in(tmp_path) as other:
        await other.library.delete("tea", OPERATOR)
        await work_until_idle(other)
    await knowledge_base.worker._publish([prepared])
    await knowledge_base.worker.erasures.idle()
    assert left_in(tmp_path) == []
    assert await knowledge_base.index.search_text("oolong", Restriction(OPERATOR), 5) == []
    status = await knowledge_base.queue.progress(str(batch))
    assert status is not None and status.failed == 1 and "deleted" in status.errors[0]["error"]


async def test_nor_does_one_that_dies_after_it_wrote_its_chunks(
    knowledge_base: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge_base.library.add(document("tea", f"Oolong {CANARY}."), OPERATOR)
    [prepared] = await knowledge_base.worker._prepare([await claimed(knowledge_base)])
    async with knowledge_base_in(tmp_path) as other:
        await other.library.delete("tea", OPERATOR)
        await work_until_idle(other)
        await knowledge_base.index.add(prepared.chunks)  # and then a crash
        assert left_in(tmp_path)
        later(monkeypatch)
        await work_until_idle(other)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("step", ["_catalog.accept", "_objects.erase", "_index.remove", "_catalog.forget"])
async def test_a_document_that_is_added_again_keeps_its_content(
    knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The same bytes again, before a step of the erasure; or all of the erasure in the middle of `add`."""
    again = document("tea", "Oolong.", access=Access("public"))
    await add_all(knowledge_base, [again])
    await knowledge_base.library.delete("tea", OPERATOR)
    owner, name = step.split(".")
    original = getattr(getattr(knowledge_base.worker, owner), name)

    async def add() -> None:
        await knowledge_base.library.add(again, OPERATOR, operator=True)

    async def interrupted(*given: Any) -> Any:
        patched.undo()
        await (work_until_idle(knowledge_base) if name == "accept" else add())
        return await original(*given)

    with monkeypatch.context() as patched:
        patched.setattr(getattr(knowledge_base.worker, owner), name, interrupted)
        await (add() if name == "accept" else work_until_idle(knowledge_base))
    await work_until_idle(knowledge_base)
    assert (await knowledge_base.library.fetch("tea", PAT)).text == "Oolong."
    assert [item.version for item in (await knowledge_base.search.search("oolong", PAT)).items] == [2]


async def test_an_earlier_life_does_not_come_back(knowledge_base: KnowledgeBase) -> None:
    """The id is used again before the erasure ran: neither its published nor its unpublished versions return."""
    await add_all(knowledge_base, [document("tea", f"Oolong {CANARY}.")])
    await knowledge_base.library.add(document("tea", f"Oolong two {CANARY}."), OPERATOR)
    [prepared] = await knowledge_base.worker._prepare([await claimed(knowledge_base)])
    await knowledge_base.library.delete("tea", OPERATOR)
    await knowledge_base.library.add(document("tea", "Green."), OPERATOR, operator=True)
    await knowledge_base.worker._publish([prepared])
    for version in (None, 1, 2):
        with pytest.raises(NotFound):
            await knowledge_base.library.fetch("tea", PAT, version)
    assert (await knowledge_base.search.search("oolong", PAT)).items == []
    await work_until_idle(knowledge_base)
    assert [entry.version for entry in await knowledge_base.library.history("tea", PAT)] == [3]
    assert (await knowledge_base.library.fetch("tea", PAT)).text == "Green."


async def test_an_access_change_is_done_once(knowledge_base: KnowledgeBase) -> None:
    await add_all(knowledge_base, [document("tea", "Oolong.")])
    await knowledge_base.library.set_access("tea", Access("internal"), OPERATOR)
    assert await knowledge_base.queue.pending() == 0


async def test_an_access_change_that_dies_half_way_is_completed_by_a_worker(
    knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_all(knowledge_base, [document("tea", "Oolong.", access=Access("internal"))])

    async def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(knowledge_base.index, "set_access", crash)
        with pytest.raises(Crash):
            await knowledge_base.library.set_access("tea", Access("public"), OPERATOR)
    assert await knowledge_base.queue.pending() == 1
    later(monkeypatch)
    await work_until_idle(knowledge_base)
    assert await knowledge_base.index.search_text("oolong", Restriction(PAT), 5)


async def test_chunks_made_with_rights_of_before_are_never_readable(knowledge_base: KnowledgeBase) -> None:
    await knowledge_base.library.add(document("tea", "Oolong."), OPERATOR)
    [prepared] = await knowledge_base.worker._prepare([await claimed(knowledge_base)])
    await knowledge_base.library.set_access("tea", Access("internal"), OPERATOR)
    await knowledge_base.index.add(prepared.chunks)
    assert await knowledge_base.index.search_text("oolong", Restriction(PAT), 5)  # the index alone would show them
    published = [prepared.published]
    await knowledge_base.catalog.publish(published)
    assert (await knowledge_base.search.search("oolong", PAT)).items == []
    await knowledge_base.worker._publish([prepared])
    assert await knowledge_base.index.search_text("oolong", Restriction(PAT), 5) == []
    assert (await knowledge_base.search.search("oolong", OPERATOR)).items


async def test_an_erasure_that_takes_its_time_holds_up_no_document(
    knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index may wait half a minute until it can merge: ingestion goes on, and two erasures share one merge."""
    await add_all(knowledge_base, [document(name, "Oolong.") for name in ("tea", "pot", "cup")])
    merging, merged, optimize, merges = asyncio.Event(), asyncio.Event(), knowledge_base.index.optimize, 0

    async def slowly() -> None:
        nonlocal merges
        merges += 1
        merging.set()
        await merged.wait()
        await optimize()

    monkeypatch.setattr(knowledge_base.index, "optimize", slowly)
    worker = asyncio.create_task(knowledge_base.worker.run(idle_seconds=0.01))
    try:
        await knowledge_base.library.delete("tea", OPERATOR)
        await asyncio.wait_for(merging.wait(), 20)
        for name in ("pot", "cup"):
            await knowledge_base.library.delete(name, OPERATOR)
        for number in range(3):  # more batches than there are lanes
            batch = (await knowledge_base.library.add(document(f"d{number}", "Sencha."), OPERATOR)).batch
            await until(knowledge_base, str(batch))
        assert len((await knowledge_base.search.search("sencha", PAT)).items) == 3
        assert (await knowledge_base.queue.depth()).waiting == 3
        merged.set()
        async with asyncio.timeout(20):
            while (await knowledge_base.queue.depth()).waiting:
                await asyncio.sleep(0.01)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    assert merges == 2


async def until(knowledge_base: KnowledgeBase, batch: str) -> None:
    async with asyncio.timeout(20):
        while not ((found := await knowledge_base.queue.progress(batch)) and found.complete):
            await asyncio.sleep(0.01)


async def test_an_erasure_that_waits_stays_claimed(
    knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_all(knowledge_base, [document("tea", "Oolong.")])
    await knowledge_base.library.delete("tea", OPERATOR)
    knowledge_base.queue.lease_seconds = 0.3
    beats, heartbeat = 0, knowledge_base.queue.heartbeat

    async def counted(jobs: Sequence[Job]) -> None:
        nonlocal beats
        beats += len(jobs)
        await heartbeat(jobs)

    async def slowly() -> None:
        async with asyncio.timeout(20):
            while beats < 4:
                await asyncio.sleep(0.01)
        assert await knowledge_base.queue.claim(5) == []

    monkeypatch.setattr(knowledge_base.queue, "heartbeat", counted)
    monkeypatch.setattr(knowledge_base.index, "optimize", slowly)
    await work_until_idle(knowledge_base)
    depth = await knowledge_base.queue.depth()
    assert (depth.waiting, depth.dead) == (0, 0)
