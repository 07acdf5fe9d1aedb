"""The hostile corpus: each is refused with a reason or becomes plain data; none gets out, hangs or harms another."""

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.errors import Denied
from common.security.access import Access, AccessScope
from common.settings import CommonSettings
from knowledge_base.adapters.markdown_text import clean
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.chunking import chunk
from knowledge_base.files import Refused, check_file, decode_text
from knowledge_base.filters import Restriction
from knowledge_base.ingest import Outcome
from knowledge_base.settings import KnowledgeBaseSettings
from knowledge_base.sources import find_sources
from tests.knowledge_base.hostile import SECRET, hostile_paths, hostile_texts, make_hostile_files, make_hostile_links

OPERATOR = AccessScope("acme", "operator", clearance="restricted")
FILE_SECONDS = 20
TEXT_SECONDS = 5
TOTAL_SECONDS = 900
"""For all of them together on a busy machine: each file has five seconds of a parser, and some kill it."""
MEMORY_MIB = 700
"""What this process may grow by, all files together; the index and the model are part of it."""


@pytest.fixture
async def kb(tmp_path: Path) -> AsyncIterator[KnowledgeBase]:
    root = tmp_path / "inbox"
    root.mkdir()
    settings = KnowledgeBaseSettings(allowed_paths=[str(root)], parse_timeout_seconds=5)
    built = build_knowledge_base(CommonSettings(data_dir=tmp_path / "data"), settings)
    async with opened(built, work=False):
        yield built


async def test_no_path_leads_out(kb: KnowledgeBase, tmp_path: Path) -> None:
    root = tmp_path / "inbox"
    make_hostile_links(root)
    paths = hostile_paths(root)
    assert len(set(paths)) >= 200
    for path in paths:
        async with asyncio.timeout(FILE_SECONDS):
            with pytest.raises(Denied, match="is not in a folder that may be read") as denied:
                await kb.ingest.start([path], OPERATOR, Access("public"))
        assert str(denied.value).isprintable()
    assert await kb.catalog.page(Restriction(OPERATOR), 10) == []


@pytest.mark.parametrize("name", [name for name, _ in hostile_texts(0) if not name.endswith(".html")])
def test_no_text_takes_long(name: str) -> None:
    """Time grows with the size, whatever the text is: patterns that backtrack would take minutes here."""
    data = dict(hostile_texts(100))[name]
    started = time.process_time()
    try:
        check_file(name, data, 25_000_000)
    except Refused:
        return
    chunk(clean(decode_text(name, data)))
    assert time.process_time() - started < TEXT_SECONDS


async def accepted_all(kb: KnowledgeBase, root: Path) -> list[Outcome]:
    from contextlib import ExitStack

    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        sources = await asyncio.to_thread(find_sources, [(root, "")], kb.ingest.rules, stack)
        started = time.perf_counter()
        async for outcome in kb.ingest.accept(sources, OPERATOR, Access("public"), "hostile"):
            outcomes.append(outcome)
            assert time.perf_counter() - started < FILE_SECONDS * 3, outcome.name
            started = time.perf_counter()
    return outcomes


@pytest.mark.slow
async def test_each_file_is_refused_or_plain_data(kb: KnowledgeBase, tmp_path: Path) -> None:
    root = tmp_path / "inbox"
    make_hostile_links(root)
    make_hostile_files(root)
    (root / "good.md").write_text("# Good\n\nChamomile grows in the garden.")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = await accepted_all(kb, root)
    assert len(outcomes) >= 200
    async with asyncio.timeout(TOTAL_SECONDS):
        while await kb.queue.pending():
            if not await kb.worker.work_once():
                await asyncio.sleep(0.05)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEMORY_MIB
    for outcome in outcomes:
        assert outcome.accepted or outcome.refused.isprintable() and len(outcome.refused) > 10, outcome
        assert "see the log" not in outcome.refused, outcome
    await check_what_is_there(kb, outcomes)


async def check_what_is_there(kb: KnowledgeBase, outcomes: list[Outcome]) -> None:
    """The secret is nowhere, the good ones are all there."""
    reader = AccessScope("acme", "pat")
    found = [version.document_id for version, _ in await kb.catalog.page(Restriction(reader), 1000)]
    texts = {one: (await kb.library.fetch(one, reader)).text for one in found}
    everything = "\n".join(texts.values())
    assert SECRET not in everything and "root:x:0" not in everything and "PATH=" not in everything
    assert {f"good-{number}" for number in range(21)} | {"good-end"} <= set(found)
    assert any("Chamomile" in text for text in texts.values())
    status = await kb.queue.progress("hostile")
    assert status is not None and status.complete and status.done >= len(found)
    assert status.total == len(outcomes)
    for text in texts.values():
        assert os.fsencode(text[:0]) == b"" and "\x1b" not in text
