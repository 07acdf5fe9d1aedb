"""What is Elasticsearch's own: refusals in words, a busy server, several servers, erasure."""

import asyncio
import importlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from elasticsearch import AsyncElasticsearch, BadRequestError
from pydantic import SecretStr

from common.errors import DeadlineExceeded, SettingsError, Unavailable
from common.resilience.deadline import deadline
from common.security.access import Access
from knowledge_base.adapters import elastic_client, elastic_mapping
from knowledge_base.adapters.elastic_client import ElasticsearchAccess
from knowledge_base.adapters.elastic_index import ElasticIndex
from knowledge_base.adapters.onnx_embedder import OnnxEmbedder
from knowledge_base.documents import Vector
from knowledge_base.reindex_command import reindex
from tests.services.elasticsearch import ElasticsearchNode
from tests.services.processes import free_port
from tests.support.chunks import ALICE, DIMENSION, drop, ids, new_elastic_index, row, vector


def another(url: str, index: ElasticIndex) -> ElasticIndex:
    """The same index, as another process has it."""
    return ElasticIndex(ElasticsearchAccess([url]), index._prefix, "model", DIMENSION)


async def test_all_processes_see_a_change_at_once(elasticsearch_url: str) -> None:
    async with new_elastic_index(elasticsearch_url) as index:
        peers = [another(elasticsearch_url, index) for _ in range(3)]
        await asyncio.gather(*(peer.add([row(f"d{n}"), row("same")]) for n, peer in enumerate(peers)))
        assert await index.count() == 4
        for level in ("restricted", "public"):
            await peers[0].set_access("acme", "d1", Access(level))
            for peer in (*peers, index):
                assert ("d1" in ids(await peer.search_text("pump", ALICE, 9))) == (level == "public")
        await peers[1].remove("acme", "d2", 1)
        assert sorted(ids(await peers[2].search_vector(vector(1), ALICE, 9))) == ["d0", "d1", "same"]
        for peer in peers:
            await peer.close()


async def test_changes_of_the_same_chunks_at_once_are_all_made(elasticsearch_url: str) -> None:
    async with new_elastic_index(elasticsearch_url) as index:
        await index.add([row("a", number=number) for number in range(50)])
        await asyncio.gather(
            *(index.set_access("acme", "a", Access("public", frozenset({f"group {n}"}))) for n in range(4)),
            index.add([row("a", "another text", number=n, version=2) for n in range(50)]),
        )
        await index.set_access("acme", "a", Access("restricted"))
        assert await index.search_text("pump another", ALICE, 200) == []


async def test_an_index_is_rebuilt_while_it_is_searched_and_changed(elasticsearch_url: str) -> None:
    async with new_elastic_index(elasticsearch_url) as index:
        await index.add([row(f"d{n}", f"pump {n}") for n in range(300)])
        rebuilding = asyncio.create_task(index.rebuild())
        changes = 0
        while not rebuilding.done():
            document = f"d{changes}"
            await index.set_access("acme", document, Access("restricted"))
            assert document not in ids(await index.search_text(f"{changes}", ALICE, 5))
            await index.remove("acme", f"d{299 - changes}", 9)
            await index.add([row(f"new{changes}", f"valve {changes}")])
            assert ids(await index.search_text("pump", ALICE, 1))
            changes += 1
        await rebuilding
        for n in range(changes):
            assert ids(await index.search_text(f"valve {n}", ALICE, 1)) == [f"new{n}"]
            assert f"d{n}" not in ids(await index.search_text(f"{n}", ALICE, 5))
        assert await index.count() == 300
        with index._server.asked() as client:
            assert list(await client.indices.get_alias(name=index.alias)) == [f"{index.alias}-000002"]


async def test_the_command_rebuilds_an_index(
    elasticsearch_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_elastic_index(elasticsearch_url) as index:
        for name, value in {"INDEX": "elasticsearch", "ELASTICSEARCH_URL": elasticsearch_url}.items():
            monkeypatch.setenv(f"KB_{name}", value)
        monkeypatch.setenv("KB_ELASTICSEARCH_INDEX", index._prefix)
        monkeypatch.setattr(OnnxEmbedder, "model", "model")
        monkeypatch.setattr(OnnxEmbedder, "dimension", DIMENSION)
        await index.add([row("a")])
        await asyncio.to_thread(reindex, tmp_path, rebuild=True)
        assert ids(await index.search_text("pump", ALICE, 9)) == ["a"]
        monkeypatch.setenv("KB_INDEX", "lance")
        with pytest.raises(SettingsError, match="needs KB_INDEX=elasticsearch"):
            await asyncio.to_thread(reindex, tmp_path, rebuild=True)


class Turned:
    """Another model: its vectors point elsewhere."""

    dimension, model = DIMENSION, "turned"

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        return [vector(0, 1) for _ in texts]

    async def close(self) -> None: ...


async def test_chunks_are_embedded_anew_beside_what_still_answers(elasticsearch_url: str) -> None:
    async with new_elastic_index(elasticsearch_url) as index:
        await index.add([row("a", title="Pumps"), row("b", access=Access("restricted"))])
        access = ElasticsearchAccess([elasticsearch_url])
        turned = ElasticIndex(access, index._prefix, Turned.model, DIMENSION)
        assert await turned.rebuild(index.alias, Turned()) == 2
        [hit] = await turned.search_vector(vector(0, 1), ALICE, 9)
        assert (hit.document_id, hit.title, round(hit.score, 6)) == ("a", "Pumps", 1)
        assert ids(await index.search_vector(vector(1), ALICE, 9)) == ["a"]
        await drop(elasticsearch_url, f"{turned.alias}*")
        await turned.close()


async def test_an_unknown_field_is_refused(elasticsearch_url: str) -> None:
    async with new_elastic_index(elasticsearch_url) as index, AsyncElasticsearch(elasticsearch_url) as client:
        await index.check()
        with pytest.raises(BadRequestError, match="strict_dynamic_mapping_exception"):
            await client.index(index=index.alias, document={"levle": 1})


async def test_an_index_that_is_gone_is_not_made_by_a_write(elasticsearch_url: str) -> None:
    async with new_elastic_index(elasticsearch_url) as index, AsyncElasticsearch(elasticsearch_url) as client:
        await index.add([row("a")])
        await client.indices.delete(index=f"{index.alias}-000001")
        with pytest.raises(Unavailable, match="is gone"):
            await index.search_text("pump", ALICE, 1)
        with pytest.raises(Unavailable, match="is gone"):
            await index.add([row("a")])
        assert not await client.indices.exists(index=index.alias)


async def test_an_index_of_another_shape_is_refused(elasticsearch_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with new_elastic_index(elasticsearch_url) as index:
        await index.check()
        peer = another(elasticsearch_url, index)
        monkeypatch.setattr("knowledge_base.adapters.elastic_index.SHAPE", elastic_mapping.SHAPE + 1)
        with pytest.raises(SettingsError, match="made by another version"):
            await peer.check()
        await peer.close()


async def test_no_server_is_said_in_words(free_address: str) -> None:
    index = ElasticIndex(ElasticsearchAccess([free_address], SecretStr("c2VjcmV0")), "test", "model", DIMENSION)
    with pytest.raises(Unavailable, match="does not answer") as error:
        await index.search_text("pump", ALICE, 1)
    assert "c2VjcmV0" not in f"{error.value!r} {error.value.__cause__!r}"
    await index.close()


@pytest.fixture
def free_address() -> str:
    return f"http://127.0.0.1:{free_port()}"


async def test_a_server_that_hangs_costs_no_more_than_the_deadline() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client gives up
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    index = ElasticIndex(ElasticsearchAccess([url]), "test", "model", DIMENSION)
    with pytest.raises((Unavailable, DeadlineExceeded)):
        async with asyncio.timeout(5), deadline(0.3):
            await index.search_text("pump", ALICE, 1)
    await index.close()
    server.close()


@pytest.fixture(scope="module")
def busy_node() -> Iterator[str]:
    """A node that refuses writes while two megabytes are under way."""
    with tempfile.TemporaryDirectory(prefix="elasticsearch-") as folder:
        node = ElasticsearchNode(Path(folder), "indexing_pressure.memory.limit=2mb")
        try:
            yield node.ready()
        finally:
            node.stop()


@pytest.mark.slow
async def test_what_a_busy_server_refuses_is_sent_again(busy_node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    async def paused(seconds: float, sleep: object = asyncio.sleep) -> None:
        pauses.append(seconds)
        await sleep(seconds)  # type: ignore[operator]

    importlib.import_module("elasticsearch.helpers")  # its parts import each other: this one has to come first
    monkeypatch.setattr("elasticsearch._async.helpers._sleep", paused)
    monkeypatch.setattr(elastic_client, "BULK_BYTES", 1_000_000)
    async with new_elastic_index(busy_node) as index:
        batches = [[row(f"d{n}-{i}", "long words " * 2_000) for i in range(40)] for n in range(8)]
        await index.check()
        await asyncio.gather(*map(index.add, batches))
        assert await index.count() == 320
    assert pauses


@pytest.mark.slow
async def test_a_server_that_stays_busy_is_said_in_words(busy_node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic_client, "BULK_TRIES", 2)
    async with new_elastic_index(busy_node) as index:
        with pytest.raises(Unavailable, match="busy"):
            await index.add([row(f"d{n}", "long words " * 10_000) for n in range(40)])


@pytest.mark.slow
async def test_optimize_leaves_no_removed_text_on_the_disk() -> None:
    with tempfile.TemporaryDirectory(prefix="elasticsearch-") as folder:
        node = ElasticsearchNode(Path(folder))
        try:
            async with new_elastic_index(await asyncio.to_thread(node.ready)) as index:
                await index.add([row(f"d{n}", "harmless words") for n in range(200)])
                await index.add([row("secret", "CANARYWORD, removed"), row("new", "CANARYWORD of the first version")])
                await index.add([row("new", "the second version")])
                await index.remove("acme", "secret", 9)
                assert holding(Path(folder), b"canaryword")
                await index.optimize()
                assert not holding(Path(folder), b"canaryword")
                assert await index.count() == 201
        finally:
            node.stop()


def holding(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes().lower()]
