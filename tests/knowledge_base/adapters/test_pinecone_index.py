"""What is Pinecone's own: limits, failures in words, writes that are waited for. The rest is in test_chunk_index."""

from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr

from common.errors import InvalidInput, SettingsError, Unavailable
from common.files import Refused
from common.security.access import Access
from knowledge_base.adapters.pinecone_client import PineconeAccess
from knowledge_base.adapters.pinecone_index import PineconeIndex
from knowledge_base.adapters.pinecone_record import MAX_METADATA
from knowledge_base.documents import Validity
from knowledge_base.filters import Field, Range, Restriction
from tests.services import pinecone
from tests.support.chunks import ALICE, DIMENSION, ids, row, vector


@pytest.fixture
def service() -> Iterator[pinecone.Pinecone]:
    with pinecone.serving() as found:
        yield found


def opened(service: pinecone.Pinecone, key: str = pinecone.KEY, **more: float) -> PineconeIndex:
    return PineconeIndex(PineconeAccess(SecretStr(key), "kb", service.url, **more), "model", DIMENSION)


@pytest.fixture
async def index(service: pinecone.Pinecone) -> AsyncIterator[PineconeIndex]:
    service.create("kb", DIMENSION)
    found = opened(service)
    yield found
    await found.close()


async def test_rights_are_part_of_each_query(service: pinecone.Pinecone, index: PineconeIndex) -> None:
    await index.add([row("a")])
    service.indices["kb"].queries.clear()
    await index.search_text("pump", ALICE, 1)
    await index.search_vector(vector(1), ALICE, 1)
    for asked in service.indices["kb"].queries:
        [rights, current] = asked["filter"]["$and"]
        assert {"readers": {"$in": ["*", "u:alice", "g:eng"]}} in rights["$and"]
        assert {"tenant": {"$eq": "acme"}} in rights["$and"]
        assert {"level": {"$lte": 2}} in rights["$and"]
        assert "superseded_at" in current


async def test_a_write_returns_when_queries_see_it(service: pinecone.Pinecone, index: PineconeIndex) -> None:
    service.indices["kb"].lag = 0.3
    await index.add([row("a"), row("b")])
    assert sorted(ids(await index.search_vector(vector(1), ALICE, 9))) == ["a", "b"]
    await index.set_access("acme", "a", Access("restricted"))
    assert ids(await index.search_vector(vector(1), ALICE, 9)) == ["b"]
    await index.supersede([Validity("acme", "b", 1, 5.0)])
    assert not await index.search_vector(vector(1), ALICE, 9)
    await index.remove("acme", "b", 1)
    assert await index.count() == 1


async def test_what_does_not_fit_is_cut_but_never_its_rights(index: PineconeIndex) -> None:
    long = "pump \U0001f600 " * 10_000
    await index.add([row("a", long)])
    [hit] = await index.search_text("pump", ALICE, 1)
    assert long.startswith(hit.text) and len(hit.text) > 2_000 and hit.end == 5 + len(long)
    many = Access(groups=frozenset(f"group-{n}" for n in range(MAX_METADATA // 10)))
    with pytest.raises(Refused, match="groups"):
        await index.add([row("b", access=many)])
    with pytest.raises(Refused, match="groups"):
        await index.set_access("acme", "a", many)
    assert ids(await index.search_text("pump", ALICE, 9)) == ["a"]


async def test_a_bound_that_is_too_long_is_refused(index: PineconeIndex) -> None:
    long = Restriction(ALICE.scope, where=Range(Field("due"), (("gt", "x" * 30),)))
    with pytest.raises(InvalidInput, match="too long"):
        await index.search_vector(vector(1), long, 1)


async def test_failures_say_whose_they_are(service: pinecone.Pinecone, index: PineconeIndex) -> None:
    await index.check()
    service.indices["kb"].down = True
    stranger = opened(service, "pcsk_wrong")
    with pytest.raises(Unavailable, match="KB_PINECONE_API_KEY") as refused:
        await stranger.check()
    assert "pcsk_wrong" not in repr(refused.value) + str(refused.value)
    hasty = opened(service, timeout_seconds=0.2)
    with pytest.raises(Unavailable, match="does not answer|busy"):
        await hasty.check()
    await hasty.close()
    service.drop("kb")
    with pytest.raises(Unavailable, match="gone"):
        await opened(service).check()


@pytest.mark.parametrize(
    ("dimension", "metric", "sparse"), [(3, "dotproduct", True), (4, "cosine", True), (4, "dotproduct", False)]
)
async def test_an_index_of_another_shape_is_not_written_into(
    service: pinecone.Pinecone, dimension: int, metric: str, sparse: bool
) -> None:
    service.create("kb", dimension, metric, sparse)
    with pytest.raises(SettingsError, match="KB_PINECONE_INDEX"):
        await opened(service).add([row("a")])
