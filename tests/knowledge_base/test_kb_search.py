"""Pages of a search, by two requests to the index and by one."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.security.access import AccessScope
from knowledge_base import bootstrap
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import Hit
from knowledge_base.duplicates import LOOKED_AT
from tests.support.chunks import Backend, index_settings, server_of
from tests.support.knowledge import add_all, document, knowledge_base_in
from tests.support.worlds import HashEmbedder

PAT = AccessScope("acme", "pat")
SAME = "Oolong steeps for three minutes in water that has cooled a little, and every further cup gets one minute more "
SAME += "than the one before, until the leaves have nothing left to give."
BACKENDS: list[Backend] = ["lance", "elasticsearch"]


@pytest.fixture(params=BACKENDS)
def index(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    with index_settings(request.param, server_of(request.param, request), HashEmbedder.dimension) as given:
        yield given


@pytest.fixture
async def knowledge_base(
    index: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KnowledgeBase]:
    """Documents of one text, more than are compared, and as many of texts of their own."""
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    async with knowledge_base_in(tmp_path, **index) as knowledge_base:
        same = [document(f"same-{n:02}", SAME) for n in range(LOOKED_AT + 5)]
        await add_all(knowledge_base, [*same, *(document(f"own-{n:02}", f"Oolong {n}.") for n in range(LOOKED_AT))])
        yield knowledge_base


async def test_pages_show_each_document_once_with_its_passage(knowledge_base: KnowledgeBase) -> None:
    cursor, shown = None, list[str]()
    while True:
        page = await knowledge_base.search.search("oolong", PAT, 7, cursor=cursor)
        assert all("**Oolong**" in item.snippet and item.title for item in page.items)
        assert page.next_cursor is None or len(page.items) == 7
        shown += [name for item in page.items for name in (item.document_id, *item.also_in)]
        if (cursor := page.next_cursor) is None:
            break
    assert len(shown) == len({*shown}) == 2 * LOOKED_AT + 5


async def test_a_reranker_reads_the_passages(knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Hit] = []

    async def rerank(query: str, ranked: list[tuple[Hit, float]]) -> list[tuple[Hit, float]]:
        read.extend(hit for hit, _ in ranked[:LOOKED_AT])
        return ranked

    monkeypatch.setattr(knowledge_base.search, "_rerank", rerank)
    first = await knowledge_base.search.search("oolong", PAT, 3)
    await knowledge_base.search.search("oolong", PAT, 3, cursor=first.next_cursor)
    assert len(read) == 2 * LOOKED_AT and all("Oolong" in hit.text for hit in read)
