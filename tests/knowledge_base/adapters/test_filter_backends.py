"""Every backend leaves exactly what the reference predicate of filters leaves."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.databases import create_engine, sqlite_url
from common.security.access import LEVELS, Access, AccessScope
from knowledge_base.adapters.lance_index import LanceIndex
from knowledge_base.adapters.sql_catalog import SqlCatalog
from knowledge_base.documents import Chunk, IndexedChunk, NewDocument, Published, Stored
from knowledge_base.filters import Filter, Restriction, matches
from tests.support.filters import FILTERS, METADATA, TEXTS

EVERYTHING = AccessScope("acme", "alice", clearance="restricted")
DOCUMENT = st.tuples(METADATA, TEXTS, st.sampled_from(list(LEVELS)))
Documents = list[tuple[dict[str, Any], str, Any]]


async def indexed(folder: Path, documents: Documents) -> LanceIndex:
    index = LanceIndex(folder, 2)
    chunk = Chunk(0, "", "pump", 0, 4)
    await index.add(
        [
            IndexedChunk("acme", f"d{n}", 1, title, chunk, Access(level), metadata, [1.0, 0.0], published_at=float(n))
            for n, (metadata, title, level) in enumerate(documents)
        ]
    )
    return index


async def catalogued(catalog: SqlCatalog, documents: Documents) -> None:
    await catalog.open()
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


# Shrinking would take minutes.
@settings(phases=[Phase.generate], max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    documents=st.lists(DOCUMENT, min_size=20, max_size=40),
    filters=st.lists(FILTERS, min_size=30, max_size=50),
)
def test_all_backends_mean_the_same(
    documents: Documents, filters: list[Filter], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def check(folder: Path) -> None:
        engine = create_engine(sqlite_url(folder / "catalog.db"))
        catalog = SqlCatalog(engine)
        await catalogued(catalog, documents)
        index = await indexed(folder / "index", documents)
        for where in filters:
            wanted, restriction = expected(documents, where), Restriction(EVERYTHING, where=where)
            hits = await index.search_vector([1.0, 0.0], restriction, 100)
            assert {hit.document_id for hit in hits} == wanted, where
            assert {version.document_id for version, _ in await catalog.page(restriction, 100)} == wanted, where
        await index.close()
        await engine.dispose()

    asyncio.run(check(tmp_path_factory.mktemp("filters")))
