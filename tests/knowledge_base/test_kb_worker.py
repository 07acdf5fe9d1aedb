"""What a worker does about backends that are away, and documents that cannot be written."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from common.errors import Unavailable
from common.jobs import Job, Retry, new_batch
from common.jobs.sql import SqlJobQueue
from common.security.access import AccessScope
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import IndexedChunk, ParsedDocument
from tests.support.knowledge import document, knowledge_base_in

OPERATOR = AccessScope("acme", "operator", clearance="restricted")


def at_once(knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between tries."""
    assert isinstance(knowledge_base.queue, SqlJobQueue)
    monkeypatch.setattr(knowledge_base.queue, "_retry", Retry(tries=3, max_pause_seconds=0))


async def test_an_index_that_is_away_costs_no_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with knowledge_base_in(tmp_path) as kb:
        at_once(kb, monkeypatch)
        batch = new_batch()
        await kb.library.add_all([document(f"d{n}", f"Tea {n}.") for n in range(3)], OPERATOR, batch)
        with monkeypatch.context() as away:

            async def unavailable(chunks: Sequence[IndexedChunk]) -> None:
                raise Unavailable("The index does not answer.")

            away.setattr(kb.index, "add", unavailable)
            for _ in range(5):
                assert await kb.worker.work_once() == 3
        assert (await kb.queue.depth()).dead == 0
        await kb.worker.work_once()
        status = await kb.queue.progress(batch)
        assert status and (status.state, status.done) == ("finished", 3)


async def test_a_heartbeat_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with knowledge_base_in(tmp_path, job_lease_seconds=1) as kb:
        heartbeat, parse, beats, kept = kb.queue.heartbeat, kb.parser.parse, list[int](), asyncio.Event()

        async def beat(jobs: Sequence[Job]) -> None:
            beats.append(len(jobs))
            if len(beats) == 1:
                raise OSError("the database is away for a moment")
            await heartbeat(jobs)
            kept.set()

        async def slow(name: str, data: bytes) -> ParsedDocument:
            await asyncio.wait_for(kept.wait(), 20)
            return await parse(name, data)

        monkeypatch.setattr(kb.queue, "heartbeat", beat)
        monkeypatch.setattr(kb.parser, "parse", slow)
        await kb.library.add(document("tea", "Tea."), OPERATOR)
        assert await kb.worker.work_once() == 1
        assert (await kb.library.fetch("tea", OPERATOR)).text == "Tea."


async def test_one_document_that_cannot_be_written_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with knowledge_base_in(tmp_path) as kb:
        at_once(kb, monkeypatch)
        batch, add = new_batch(), kb.index.add

        async def but_not_one(chunks: Sequence[IndexedChunk]) -> None:
            if any(part.document_id == "d1" for part in chunks):
                raise RuntimeError("a field of d1 has the wrong type")
            await add(chunks)

        monkeypatch.setattr(kb.index, "add", but_not_one)
        await kb.library.add_all([document(f"d{n}", f"Tea {n}.") for n in range(3)], OPERATOR, batch)
        while await kb.worker.work_once():
            pass
        status = await kb.queue.progress(batch)
        assert status and (status.done, status.failed) == (2, 1)
        [letter] = await kb.queue.dead_letters("acme", 5)
        assert letter.job.payload["document_id"] == "d1" and "wrong type" not in letter.error
        monkeypatch.setattr(kb.index, "add", add)
        assert await kb.queue.replay([letter.job.id]) == 1
        await kb.worker.work_once()
        assert (await kb.library.fetch("d1", OPERATOR)).text == "Tea 1."


async def test_a_heartbeat_that_fails_is_not_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with knowledge_base_in(tmp_path) as kb:
        kb.queue.lease_seconds = 0.3
        beats, heartbeat, add = 0, kb.queue.heartbeat, kb.index.add

        async def counted(jobs: Sequence[Job]) -> None:
            nonlocal beats
            beats += 1
            if beats == 1:
                raise Unavailable("The database does not answer.")
            await heartbeat(jobs)

        async def slowly(chunks: Sequence[IndexedChunk]) -> None:
            async with asyncio.timeout(20):
                while beats < 3:
                    await asyncio.sleep(0.01)
            await add(chunks)

        monkeypatch.setattr(kb.queue, "heartbeat", counted)
        monkeypatch.setattr(kb.index, "add", slowly)
        await kb.library.add_all([document("tea", "Oolong.")], OPERATOR, new_batch())
        assert await kb.worker.work_once() == 1
        assert (await kb.library.fetch("tea", OPERATOR)).text == "Oolong."
