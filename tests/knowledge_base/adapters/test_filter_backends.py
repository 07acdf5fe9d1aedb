"""Every backend leaves exactly what the reference predicate of filters leaves."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.security.access import LEVELS, Access, AccessScope
from knowledge_base.documents import Chunk, IndexedChunk, NewDocument, Published, Stored
from knowledge_base.filters import Filter, Restriction, matches
from knowledge_base.ports import Catalog, ChunkIndex
from tests.support.catalogs import KINDS, stores_of
from tests.support.chunks import BACKENDS, Backend, new_index, server_of
from tests.support.filters import FILTERS, METADATA, TEXTS

EVERYTHING = AccessScope("acme", "alice", clearance="restricted")
DOCUMENT = st.tuples(METADATA, TEXTS, st.sampled_from(list(LEVELS)))
Documents = list[tuple[dict[str, Any], str, Any]]


async def fill(index: ChunkIndex, documents: Documents) -> None:
    chunk = Chunk(0, "", "pump", 0, 4)
    await index.add(
        [
            IndexedChunk("acme", f"d{n}", 1, title, chunk, Access(level), metadata, [1.0, 0.0], published_at=float(n))
            for n, (metadata, title, level) in enumerate(documents)
        ]
    )


async def catalogued(catalog: Catalog, documents: Documents) -> None:
    offered = [
        Stored(NewDocument("acme", f"d{n}", "a.md", b"", Access(level), title, metadata), "key", 0)
        for n, (metadata, title, level) in enumerate(documents)
    ]
    await catalog.accept(offered, EVERYTHING, "batch")
    items = [Published("acme", f"d{n}", 1, title, "key", float(n)) for n, (_, title, _) in enumerate(documents)]
    await catalog.publish(items)


def expected(documents: Documents, where: Filter) -> set[str]:
    found = set()
    for n, (metadata, title, level) in enumerate(documents):
        own: dict[str, str | float] = {
            "document_id": f"d{n}",
            "title": title,
            "published_at": float(n),
            "classification": float(LEVELS[level]),
        }
        if matches(where, metadata, {"document_id": f"d{n}", "title": title, **own}):
            found.add(f"d{n}")
    return found


async def index_finds(index: ChunkIndex, documents: Documents, filters: list[Filter]) -> None:
    await fill(index, documents)
    for where in filters:
        hits = await index.search_vector([1.0, 0.0], Restriction(EVERYTHING, where=where), 100)
        assert {hit.document_id for hit in hits} == expected(documents, where), where


async def catalog_finds(catalog: Catalog, documents: Documents, filters: list[Filter]) -> None:
    await catalogued(catalog, documents)
    for where in filters:
        # Now, and at a time: the two ways by which a catalogue finds a version.
        for as_of in (None, 1e9):
            page = await catalog.page(Restriction(EVERYTHING, as_of, where), 100)
            assert {version.document_id for version, _ in page} == expected(documents, where), where


def hold(check: Callable[[Documents, list[Filter]], Coroutine[Any, Any, None]], examples: int) -> None:
    """Check random documents and filters."""
    documents = st.lists(DOCUMENT, min_size=20, max_size=40)
    filters = st.lists(FILTERS, min_size=30, max_size=50)

    # Shrinking would take minutes.
    @settings(phases=[Phase.generate], max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(documents=documents, filters=filters)
    def each(documents: Documents, filters: list[Filter]) -> None:
        asyncio.run(check(documents, filters))

    each()


def of_index(backend: Backend, url: str, folders: pytest.TempPathFactory, examples: int) -> None:
    async def check(documents: Documents, filters: list[Filter]) -> None:
        async with new_index(backend, url, folders.mktemp("filters"), 2) as index:
            await index_finds(index, documents, filters)

    hold(check, examples)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_index_means_what_the_reference_means(
    backend: Backend, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    of_index(backend, server_of(backend, request), tmp_path_factory, 3)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_index_means_what_the_reference_means_very_often(
    backend: Backend, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    of_index(backend, server_of(backend, request), tmp_path_factory, 40)


def of_catalog(kind: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory, examples: int) -> None:
    async def check(documents: Documents, filters: list[Filter]) -> None:
        async with stores_of(kind, folders.mktemp("filters"), request) as stores:
            await catalog_finds(stores.catalog, documents, filters)

    hold(check, examples)


@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 3), ("postgres", 2), ("mongodb", 2)])
def test_a_catalogue_means_what_the_reference_means(
    kind: str, examples: int, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    of_catalog(kind, request, tmp_path_factory, examples)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_catalogue_means_what_the_reference_means_very_often(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    of_catalog(kind, request, tmp_path_factory, 25)
