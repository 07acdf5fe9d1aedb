"""Filters, facets, orders and cursors through the use cases and the tools."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.errors import InvalidInput
from common.security.access import Access, AccessScope
from common.security.principal import Principal
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.browsing import Facet
from knowledge_base.filter_syntax import parse_filter, parse_sort
from tests.support.knowledge import add_all, document, finished, knowledge_base_in, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
DOCS = Path(__file__).parents[2] / "docs" / "knowledge-base.md"
PAT = AccessScope("acme", "pat")
BOSS = AccessScope("acme", "boss", clearance="restricted")
METADATA: dict[str, dict[str, Any]] = {
    "a": {"year": 2024, "tags": ["gdpr", "gdpr", "x"], "code": "1"},
    "b": {"year": 2025, "tags": "gdpr", "code": 1, "department": "legal"},
    "c": {"year": 2024.0, "tags": [], "code": True, "department": "legal", "status": "draft"},
    "d": {"year": "2024", "department": "it"},
    "e": {},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    async with knowledge_base_in(tmp_path_factory.mktemp("filters")) as knowledge_base:
        items = [document(f"doc-{name}", f"Tea {name}.", title=f"T{name}", metadata=m) for name, m in METADATA.items()]
        secret = document("secret", "Tea.", access=Access("restricted"), metadata={"year": 1999, "hidden": "x"})
        await add_all(knowledge_base, [*items, secret])
        yield knowledge_base


async def listed(knowledge_base: KnowledgeBase, sort: str, limit: int = 2, **filters: Any) -> str:
    """The letters of the documents, page by page."""
    found, cursor = "", None
    while True:
        order, where = parse_sort(sort), parse_filter(filters)
        page, cursor = await knowledge_base.library.page(PAT, limit, cursor, where, order)
        found += "".join(version.document_id[-1] for version in page)
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("document_id", "abcde"),
        ("-document_id", "edcba"),
        ("-title", "edcba"),
        ("year", "acbde"),
        ("-year", "bacde"),
        ("code", "bcade"),
        ("tags", "bacde"),
        ("-department", "bcdae"),
        ("classification", "abcde"),
        ("unknown", "abcde"),
    ],
)
async def test_documents_come_in_order_page_by_page(filled: KnowledgeBase, sort: str, order: str) -> None:
    assert await listed(filled, sort) == order
    assert await listed(filled, sort, limit=1, code={"exists": True}) == "".join(c for c in order if c in "abc")


async def test_facets_count_what_may_be_read(filled: KnowledgeBase) -> None:
    facets = await filled.library.facets(PAT, top=2)
    assert facets.documents == 5
    by_name = {facet.field: facet for facet in facets.fields}
    assert list(by_name) == ["year", "code", "department", "tags", "status"]
    assert by_name["year"] == Facet("year", 4, [(2024, 2), (2025, 1)], 3, 1)
    assert by_name["tags"] == Facet("tags", 2, [("gdpr", 2), ("x", 1)], 2, 0)
    [code] = (await filled.library.facets(PAT, ["code"], parse_filter({"year": 2024}))).fields
    assert [(type(value), count) for value, count in code.values] == [(bool, 1), (str, 1)]
    assert (await filled.library.facets(PAT, ["hidden"])).fields == []
    everything = await filled.library.facets(BOSS)
    assert everything.documents == 6 and "hidden" in {facet.field for facet in everything.fields}


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
async def test_a_search_is_filtered(filled: KnowledgeBase, mode: Any) -> None:
    where = parse_filter({"any": [{"year": 2024}, {"department": {"ne": "legal"}}], "status": {"ne": "draft"}})
    page = await filled.search.search("tea", PAT, mode=mode, where=where)
    assert sorted(item.document_id[-1] for item in page.items) == ["a", "d", "e"]


async def test_a_cursor_is_of_one_question_filter_order_and_caller(filled: KnowledgeBase) -> None:
    where, year = parse_filter({"code": {"exists": True}}), parse_sort("year")
    found = (await filled.search.search("tea", PAT, 1, where=where)).next_cursor
    with pytest.raises(InvalidInput, match="does not fit"):
        await filled.search.search("tea", PAT, 1, cursor=found)
    with pytest.raises(InvalidInput, match="does not fit"):
        await filled.search.search("tea", BOSS, 1, cursor=found, where=where)
    _, cursor = await filled.library.page(PAT, 1, None, where, year)
    for scope, other, order in ((PAT, None, year), (PAT, where, parse_sort("-year")), (BOSS, where, year)):
        with pytest.raises(InvalidInput, match="does not fit"):
            await filled.library.page(scope, 1, cursor, other, order)


async def test_pages_stay_whole_while_documents_come_and_go(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as knowledge_base:
        names = [f"n{number}" for number in range(8)]
        teas = [document(name, f"Tea {name}.", metadata={"n": n}) for n, name in enumerate(names)]
        await add_all(knowledge_base, teas)
        order = parse_sort("-n")
        listing, cursor = await knowledge_base.library.page(PAT, 3, None, None, order)
        first = await knowledge_base.search.search("tea", PAT, 3)
        shown = [item.document_id for item in first.items]
        gone = next(name for name in names if name not in shown and name not in ("n7", "n6", "n5"))
        for name in (gone, shown[0], "n7"):
            await knowledge_base.library.set_access(name, Access("restricted"), BOSS)
        await add_all(knowledge_base, [document(f"new{n}", "Tea tea tea.", metadata={"n": n + 0.5}) for n in (4, 9)])
        await add_all(knowledge_base, [document(shown[1], "Tea, tea, tea!", metadata={"n": 100})])
        rest, _ = await knowledge_base.library.page(PAT, 20, cursor, None, order)
        assert len(listing) == 3
        expected = [name for name in ["new4", "n4", "n3", "n2", "n1", "n0"] if name not in (gone, *shown[:2])]
        assert [version.document_id for version in rest] == expected
        second = await knowledge_base.search.search("tea", PAT, 20, cursor=first.next_cursor)
        assert {item.document_id for item in second.items} == set(names) - {gone, "n7", *shown}


async def test_the_examples_of_the_docs_are_answered(tmp_path: Path) -> None:
    section = DOCS.read_text().split("## Filters", 1)[1]
    examples = [json.loads(line) for line in re.findall(r"```json\n(.*?)```", section, re.S)[0].splitlines()]
    assert len(examples) == 4
    alice = Principal("alice", "acme", frozenset({"editor"}), frozenset(), "internal")
    async with served(tmp_path) as kb, kb.client(alice) as client:
        metadata = {"department": "legal", "year": 2026, "tags": ["gdpr"]}
        arguments = {"id": "dpa", "title": "DPA", "text": "Data processing.", "metadata": metadata}
        await finished(client, (await client.call_tool("add_document", arguments)).structured_content["job_id"])
        for filters in examples:
            for tool, more in (("search", {"query": "data"}), ("list_documents", {"sort": "-year"})):
                answer = await client.call_tool(tool, {**more, "filters": filters})
                found = [item["document_id"] for item in answer.structured_content["items"]]
                assert found == ([] if "published_at" in filters else ["dpa"]), filters
        facets = (await client.call_tool("list_facets", {"fields": ["tags"]})).structured_content
        assert facets["documents"] == 1 and facets["items"][0]["values"] == [{"value": "gdpr", "count": 1}]
        with pytest.raises(Exception, match=r"filters\.year\.is .*use one of eq"):
            await client.call_tool("search", {"query": "data", "filters": {"year": {"is": 3}}})
