"""Random worlds of documents, and the assertion that a caller is shown exactly what the reference predicates allow."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from common.errors import InvalidInput, NotFound
from common.security.access import LEVELS, Access, AccessScope, may_read
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.browsing import Sort
from knowledge_base.citations import parse_citation
from knowledge_base.documents import Metadata, NewDocument, Vector
from knowledge_base.filters import Field, Filter, Restriction, matches
from knowledge_base.search import Mode
from tests.support.filters import FILTERS, METADATA

GROUPS, SUBJECTS, TENANTS = ["eng", "hr", "o'brien"], ["alice", "bob"], ["acme", "ot'her"]
MODES: tuple[Mode, ...] = ("text", "vector", "hybrid")
FIRST, THEN, SECOND = 1000.0, 1500.0, 2000.0
"""When first versions were published, a time before the second ones, and when those were."""


class HashEmbedder:
    """Stands in for the model: vectors that depend on nothing but the text."""

    dimension = 8
    model = "hash"

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        digests = [np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], np.uint8) for text in texts]
        return [(digest + 1.0).astype(np.float32) / np.linalg.norm(digest + 1.0) for digest in digests]

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Item:
    """A document with its one or two versions, and what became of its rights."""

    tenant: str
    id: str
    first: Access
    access: Access
    metadata: tuple[Metadata, ...]
    deleted: bool = False

    def text(self, version: int) -> str:
        seed = hashlib.sha256(f"{self.tenant} {self.id} {version}".encode()).hexdigest()
        return "The kettle " + " ".join(seed[i : i + 4] for i in range(0, 48, 4))

    def document(self, version: int) -> NewDocument:
        at = FIRST if version == 1 else SECOND
        data, metadata = self.text(version).encode(), self.metadata[version - 1]
        return NewDocument(self.tenant, self.id, f"{self.id}.md", data, self.first, f"T {self.id}", metadata, at)

    def version(self, as_of: float | None) -> int:
        return len(self.metadata) if as_of is None else 1

    def fits(self, where: Filter | None, as_of: float | None = None) -> bool:
        version = self.version(as_of)
        own: dict[str, str | float] = {
            "document_id": self.id,
            "title": f"T {self.id}",
            "published_at": FIRST if version == 1 else SECOND,
            "classification": self.access.level,
        }
        return where is None or matches(where, self.metadata[version - 1], own)


ACCESS = st.builds(
    Access,
    st.sampled_from(list(LEVELS)),
    st.frozensets(st.sampled_from(GROUPS), max_size=2),
    st.frozensets(st.sampled_from(SUBJECTS), max_size=1),
)
SCOPES = st.builds(
    AccessScope,
    st.sampled_from(TENANTS),
    st.sampled_from(SUBJECTS),
    st.frozensets(st.sampled_from(GROUPS), max_size=2),
    st.sampled_from(["public", "internal", "confidential", "restricted", "restricted"]),
)


@st.composite
def worlds(draw: st.DrawFn) -> list[Item]:
    """Ids are of two tenants at once; some documents have a second version, other rights now, or are deleted."""
    found = []
    for number in range(draw(st.integers(8, 12))):
        for tenant in TENANTS:
            first = draw(ACCESS)
            access = draw(st.one_of(st.just(first), ACCESS))
            metadata = tuple(draw(st.lists(METADATA, min_size=1, max_size=2)))
            found.append(Item(tenant, f"d{number}", first, access, metadata, draw(st.integers(0, 9)) == 0))
    return found


QUESTIONS = st.tuples(SCOPES, FILTERS, st.builds(Sort, st.builds(Field, st.sampled_from(["a", "year"])), st.booleans()))
Question = tuple[AccessScope, Filter, Sort]


async def build(knowledge_base: KnowledgeBase, world: Sequence[Item]) -> None:
    """Make it all so, by the use cases."""
    for tenant in TENANTS:
        operator = AccessScope(tenant, "operator", clearance="restricted")
        mine = [item for item in world if item.tenant == tenant]
        for version in (1, 2):
            group = [item.document(version) for item in mine if len(item.metadata) >= version]
            await knowledge_base.library.add_all(group, operator, f"{tenant} {version}", operator=True)
            while await knowledge_base.worker.work_once():
                pass
    for item in world:
        if item.access != item.first:
            await knowledge_base.library.set_access(item.id, item.access, _insider(item.tenant, item.first))
        if item.deleted:
            await knowledge_base.library.delete(item.id, _insider(item.tenant, item.access))


def _insider(tenant: str, access: Access) -> AccessScope:
    return AccessScope(tenant, min(access.owners, default="operator"), access.groups, "restricted")


async def check(knowledge_base: KnowledgeBase, world: Sequence[Item], question: Question) -> None:
    """A caller is shown exactly what he may read, by each way there is. Raises AssertionError."""
    scope, where, sort = question
    mine = [item for item in world if not item.deleted and may_read(scope, item.tenant, item.access)]
    await _each_backend_alone(knowledge_base, world, mine, scope)
    await _search(knowledge_base, mine, scope, where)
    await _list(knowledge_base, mine, scope, where, sort)
    await _facets(knowledge_base, mine, scope, where)
    for item in {item.id: item for item in [*world, *mine]}.values():
        await _document(knowledge_base, item, item in mine, scope)


async def _each_backend_alone(
    knowledge_base: KnowledgeBase, world: Sequence[Item], mine: Sequence[Item], scope: AccessScope
) -> None:
    [vector] = await knowledge_base.embedder.embed(["kettle"])
    for as_of in (None, THEN):
        everything = Restriction(scope, as_of)
        # Deletion is the catalogue's word; the index follows when the job is done.
        erased_later = {item.text(item.version(as_of)) for item in world if item.deleted}
        wanted = {item.text(item.version(as_of)) for item in mine}
        for hits in (
            await knowledge_base.index.search_text("kettle", everything, 100),
            await knowledge_base.index.search_vector(vector, everything, 100),
        ):
            assert {hit.text for hit in hits} - erased_later == wanted, scope
        valid = await knowledge_base.catalog.valid([item.id for item in world], everything)
        assert {key: each.version for key, each in valid.items()} == {i.id: i.version(as_of) for i in mine}, scope


async def _search(knowledge_base: KnowledgeBase, mine: Sequence[Item], scope: AccessScope, where: Filter) -> None:
    for mode in MODES:
        for as_of, narrowed, limit in ((None, None, 3), (THEN, None, 50), (None, where, 50), (THEN, where, 5)):
            found, cursor = Counter[tuple[str, int]](), None
            while True:
                page = await knowledge_base.search.search("kettle", scope, limit, mode, cursor, as_of, narrowed)
                found.update((item.document_id, item.version) for item in page.items)
                for item in page.items[:1]:
                    passage = await knowledge_base.library.passage(parse_citation(item.citation), scope)
                    assert passage.text.startswith("The kettle")
                if (cursor := page.next_cursor) is None:
                    break
                with pytest.raises(InvalidInput):
                    other = AccessScope(scope.tenant, "eve", scope.groups, scope.clearance)
                    await knowledge_base.search.search("kettle", other, limit, mode, cursor, as_of, narrowed)
            wanted = [(item.id, item.version(as_of)) for item in mine if item.fits(narrowed, as_of)]
            assert found == Counter(wanted), (scope, mode, as_of, narrowed)


async def _list(
    knowledge_base: KnowledgeBase, mine: Sequence[Item], scope: AccessScope, where: Filter, sort: Sort
) -> None:
    for narrowed in (None, where):
        found: list[str] = []
        cursor = None
        while True:
            page, cursor = await knowledge_base.library.page(scope, 4, cursor, narrowed, sort)
            found += [version.document_id for version in page]
            if cursor is None:
                break
        assert sorted(found) == sorted(item.id for item in mine if item.fits(narrowed)), (scope, narrowed)


async def _facets(knowledge_base: KnowledgeBase, mine: Sequence[Item], scope: AccessScope, where: Filter) -> None:
    facets = await knowledge_base.library.facets(scope, where=where, top=100)
    fitting = [item for item in mine if item.fits(where)]
    counts: Counter[tuple[str, str]] = Counter()
    for item in fitting:
        for key, value in item.metadata[-1].items():
            counts.update({(key, _plain(v)) for v in (value if isinstance(value, list) else [value])})
    shown = {(f.field, _plain(value)): count for f in facets.fields for value, count in f.values}
    assert (facets.documents, shown) == (len(fitting), dict(counts)), (scope, where)
    assert all(facet.others == 0 for facet in facets.fields)


def _plain(value: Any) -> str:
    return repr(value if isinstance(value, str | bool) else float(value) + 0.0)


async def _document(knowledge_base: KnowledgeBase, item: Item, readable: bool, scope: AccessScope) -> None:
    library, versions = knowledge_base.library, len(item.metadata)
    if readable:
        assert [v.version for v in await library.history(item.id, scope)] == list(range(versions, 0, -1))
        texts = [(await library.fetch(item.id, scope, number)).text for number in (None, *range(1, versions + 1))]
        assert texts == [item.text(number) for number in (versions, *range(1, versions + 1))]
        assert (await library.compare(item.id, scope, 1, versions)).added == versions - 1
        return
    for hidden in (
        library.history(item.id, scope),
        library.fetch(item.id, scope),
        library.fetch(item.id, scope, 1),
        library.compare(item.id, scope, 1, 1),
        library.restore(item.id, 1, scope),
        library.delete(item.id, scope),
    ):
        with pytest.raises(NotFound):
            await hidden
