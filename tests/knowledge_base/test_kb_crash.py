"""Killed in the middle of ingests: nothing accepted is lost, and nothing is half visible."""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from common.security.access import AccessScope
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.chunking import chunk
from knowledge_base.filters import Restriction
from tests.support.knowledge import knowledge_base_in

ROOT = Path(__file__).parents[2]
READER = AccessScope("acme", "pat")
ROUNDS = 5
DOCUMENTS = 12


async def killed_ingest(folder: Path, first: int, lines: int, delay: float) -> dict[str, int]:
    """Versions that were accepted before the kill, which comes `delay` seconds after so many lines of output."""
    command = [sys.executable, "-m", "tests.support.crashing_ingest", str(folder), str(first), str(DOCUMENTS)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    accepted: dict[str, int] = {}
    async with asyncio.timeout(120):
        for _ in range(lines):
            words = (await process.stdout.readline()).decode().split()
            if len(words) == 2:
                accepted[words[0]] = int(words[1])
        await asyncio.sleep(delay)
    process.kill()
    await process.wait()
    return accepted


async def check_whole(knowledge_base: KnowledgeBase) -> set[str]:
    """Every visible document is there with all its chunks, in one version; returns their ids."""
    visible, _ = await knowledge_base.library.page(READER, 500)
    for version in visible:
        fetched = await knowledge_base.library.fetch(version.document_id, READER)
        number = version.document_id.removeprefix("doc-")
        hits = await knowledge_base.index.search_text(f"Kettle{number}", Restriction(READER), 100)
        mine = [hit for hit in hits if (hit.document_id, hit.version) == (version.document_id, version.version)]
        assert len(mine) == len(chunk(fetched.text)), version.document_id
        assert f"v{fetched.version.version}" in fetched.text or fetched.version.version == 1
    return {version.document_id for version in visible}


@pytest.mark.slow
async def test_kill_9_loses_nothing_and_shows_nothing_half(tmp_path: Path) -> None:
    chance = random.Random(20260314)  # noqa: S311 - not a secret
    accepted: dict[str, int] = {}
    for number in range(ROUNDS):
        # First it is killed while it still accepts, later in the middle of a batch.
        lines = 5 if number == 0 else DOCUMENTS + chance.randrange(3)
        accepted |= await killed_ingest(tmp_path, number * DOCUMENTS, lines, chance.random() * 0.4)
        async with knowledge_base_in(tmp_path) as knowledge_base:
            await check_whole(knowledge_base)
    async with knowledge_base_in(tmp_path) as knowledge_base, asyncio.timeout(120):
        while await knowledge_base.queue.pending():
            await knowledge_base.worker.work_once()
            await asyncio.sleep(0.05)
        assert await check_whole(knowledge_base) >= set(accepted)
        for document_id, version in accepted.items():
            assert (await knowledge_base.catalog.get(document_id, READER)).version >= version
            word = document_id.replace("doc-", "Kettle")
            page = await knowledge_base.search.search(word, READER, limit=50, mode="text")
            assert [item.document_id for item in page.items] == [document_id]
        async with knowledge_base.engine.connect() as connection:
            states = (await connection.exec_driver_sql("SELECT DISTINCT state FROM jobs")).scalars().all()
        assert states == ["done"]
