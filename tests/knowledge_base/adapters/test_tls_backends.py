"""Elasticsearch and MongoDB are believed by the authority of TRIPTYCH_CA_FILE, and by nobody else's word."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from common.errors import Unavailable
from common.settings import CommonSettings
from knowledge_base.adapters.mongo_client import connect
from knowledge_base.adapters.onnx_embedder import OnnxEmbedder
from knowledge_base.bootstrap import build_index, build_stores
from knowledge_base.settings import KnowledgeBaseSettings
from tests.services import mongodb
from tests.services.authority import Authority
from tests.support.chunks import drop
from tests.support.tunnels import context_of, encrypted


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(folder: Path, ca_file: Path | None) -> CommonSettings:
    return CommonSettings(data_dir=folder, ca_file=ca_file)


async def test_elasticsearch_is_believed_by_its_certificate(
    elasticsearch_url: str, authority: Authority, tmp_path: Path
) -> None:
    stranger, embedder = Authority(tmp_path, "another"), OnnxEmbedder()
    for host, ca_file, believed in [
        ("localhost", authority.ca_file, True),
        ("localhost", None, False),
        ("localhost", stranger.ca_file, False),
        ("elsewhere.example", authority.ca_file, False),
    ]:
        async with encrypted(elasticsearch_url, context_of(authority.issue(host))) as port:
            given = KnowledgeBaseSettings(
                index="elasticsearch", elasticsearch_url=[f"https://localhost:{port}"], elasticsearch_index="test-tls"
            )
            index = build_index(settings(tmp_path, ca_file), given, tmp_path, embedder)
            if believed:
                assert await index.count() == 0
            else:
                with pytest.raises(Unavailable) as refused:
                    await index.count()
                assert "CERTIFICATE_VERIFY_FAILED" in repr(refused.value.__cause__)
            await index.close()
    await embedder.close()
    await drop(elasticsearch_url, "test-tls*")


@contextmanager
def encrypted_mongodb(authority: Authority, *hosts: str) -> Iterator[str]:
    """A server that encrypts by itself; its address without the scheme."""
    shown = authority.issue(*hosts)
    with closing(mongodb.start("--tls-cert-file", str(shown.cert), "--tls-key-file", str(shown.key))) as running:
        yield next(running).removeprefix("mongodb://127.0.0.1:")


async def test_mongodb_is_believed_by_its_certificate(authority: Authority, tmp_path: Path) -> None:
    with encrypted_mongodb(authority, "localhost", "127.0.0.1") as port:
        given = KnowledgeBaseSettings(catalog="mongodb", mongodb_url=f"mongodb://127.0.0.1:{port}/kb?tls=true")
        stores = build_stores(settings(tmp_path, authority.ca_file), given)
        await stores.catalog.open()
        assert await stores.catalog.latest("acme", "a") == 0
        await stores.close()


@pytest.mark.slow
@pytest.mark.parametrize(("host", "who"), [("127.0.0.1", "another"), ("127.0.0.1", ""), ("elsewhere.example", "its")])
async def test_mongodb_is_refused_for_its_certificate(
    authority: Authority, tmp_path: Path, host: str, who: str
) -> None:
    ca_file = {"its": authority.ca_file, "": None}.get(who, Authority(tmp_path, "another").ca_file)
    with encrypted_mongodb(authority, host) as port:
        client, _ = connect(f"mongodb://127.0.0.1:{port}/kb?ssl=true", ca_file)
        with pytest.raises(ServerSelectionTimeoutError, match="CERTIFICATE_VERIFY_FAILED"), pymongo.timeout(10):
            await client.admin.command("ping")
        await client.close()
