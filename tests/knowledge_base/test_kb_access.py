"""What search, fetch and list show is exactly what the reference predicate allows."""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio

from common.errors import NotFound
from common.security.access import LEVELS, Access, AccessScope, may_read
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import NewDocument
from knowledge_base.filters import Restriction
from tests.support.knowledge import add_all, document, knowledge_base_in

pytestmark = pytest.mark.asyncio(loop_scope="module")
GROUPS = (frozenset[str](), frozenset({"eng"}), frozenset({"o'brien", "hr"}))
OWNERS = (frozenset[str](), frozenset({"alice"}))
TENANTS = ("acme", "ot'her")


def every_access() -> list[NewDocument]:
    """A document for each combination of tenant, classification, groups and owners."""
    combinations = product(TENANTS, LEVELS, GROUPS, OWNERS)
    found = []
    for number, (tenant, level, groups, owners) in enumerate(combinations):
        access = Access(level, groups, owners)  # type: ignore[arg-type]
        text = f"# Kettle {number}\n\nThe kettle stands in cupboard {number}."
        found.append(document(f"doc-{number}", text, tenant, access))
    return found


def scopes() -> list[AccessScope]:
    combinations = product(TENANTS, ("alice", "bob"), GROUPS, LEVELS)
    return [AccessScope(*values) for values in combinations] + [AccessScope("", "anonymous")]  # type: ignore[arg-type]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KnowledgeBase]:
    folder: Path = tmp_path_factory.mktemp("access")
    async with knowledge_base_in(folder) as knowledge_base:
        await add_all(knowledge_base, every_access())
        yield knowledge_base


def allowed(scope: AccessScope) -> set[str]:
    return {item.document_id for item in every_access() if may_read(scope, item.tenant, item.access)}


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
async def test_search_shows_exactly_what_may_be_read(filled: KnowledgeBase, mode: str) -> None:
    for scope in scopes():
        page = await filled.search.search("where is the kettle", scope, limit=50, mode=mode)  # type: ignore[arg-type]
        assert {item.document_id for item in page.items} == allowed(scope), scope


async def test_pages_together_show_the_same_and_nothing_twice(filled: KnowledgeBase) -> None:
    for scope in scopes()[::5]:
        seen: list[str] = []
        cursor = None
        while True:
            page = await filled.search.search("kettle", scope, limit=3, cursor=cursor)
            seen += [item.document_id for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(seen) == sorted(allowed(scope))


async def test_list_shows_exactly_what_may_be_read(filled: KnowledgeBase) -> None:
    for scope in scopes():
        page, _ = await filled.library.page(scope, limit=100)
        assert {version.document_id for version in page} == allowed(scope), scope


async def test_fetch_gives_exactly_what_may_be_read(filled: KnowledgeBase) -> None:
    for scope in scopes()[::3]:
        for item in every_access():
            if may_read(scope, item.tenant, item.access):
                assert (await filled.library.fetch(item.document_id, scope)).version.document_id == item.document_id
            else:
                with pytest.raises(NotFound):
                    await filled.library.fetch(item.document_id, scope, version=1)


async def test_each_of_index_and_catalogue_applies_the_rule_alone(filled: KnowledgeBase) -> None:
    ids = [item.document_id for item in every_access()]
    [vector] = await filled.embedder.embed(["kettle"])
    for scope in scopes()[::4]:
        everything = Restriction(scope)
        hits = await filled.index.search_text("kettle", everything, 100)
        nearest = await filled.index.search_vector(vector, everything, 100)
        current = await filled.catalog.valid(ids, everything)
        assert {hit.document_id for hit in hits} == allowed(scope)
        assert {hit.document_id for hit in nearest} == allowed(scope)
        assert set(current) == allowed(scope)


async def test_a_preview_shows_exactly_what_both_may_read(filled: KnowledgeBase) -> None:
    ids = [item.document_id for item in every_access()]
    [vector] = await filled.embedder.embed(["kettle"])
    for scope, also in product(scopes()[::6], scopes()[::5]):
        both = Restriction(scope, also=also)
        wanted = allowed(scope) & allowed(also)
        assert {hit.document_id for hit in await filled.index.search_text("kettle", both, 100)} == wanted
        assert {hit.document_id for hit in await filled.index.search_vector(vector, both, 100)} == wanted
        assert set(await filled.catalog.valid(ids, both)) == wanted
        assert {version.document_id for version, _ in await filled.catalog.page(both, 100)} == wanted
        assert (await filled.catalog.facets(both, [], 1)).documents == len(wanted)


async def test_an_explanation_ranks_as_the_search_does(filled: KnowledgeBase) -> None:
    scope = scopes()[5]
    page = await filled.search.search("kettle in cupboard 3", scope)
    explanation = await filled.search.explain("kettle in cupboard 3", Restriction(scope))
    assert [each.item for each in explanation.items] == page.items and page.items
    assert set(explanation.steps) == {"all", "embedding", "text", "vector", "catalogue", "fusion", "reranking", "page"}
    for each in explanation.items:
        assert set(each.places) <= {"text", "vector"} and each.places
    ranks = sorted(each.places["vector"].rank for each in explanation.items if "vector" in each.places)
    assert ranks == list(range(1, len(ranks) + 1)) and explanation.found["vector"] == explanation.documents
    only = await filled.search.explain("kettle", Restriction(scope), limit=1, mode="text")
    assert set(only.items[0].places) == {"text"} and "embedding" not in only.steps
