"""Encryption in transit: what servers offer, and that clients believe nobody else."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from common.databases import create_engine
from common.errors import SettingsError, Unavailable
from common.http.client import Request, ResilientClient
from common.http.upstream import Upstream
from common.redis_client import connect_redis
from common.resilience.retry import RetryLimits
from common.serve import tls_of
from common.settings import CommonSettings
from common.tls import client_context, load_certificate
from tests.services.authority import Authority
from tests.support.tunnels import context_of, encrypted

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As little of HTTP as a client needs."""
    with contextlib.suppress(OSError):
        await reader.read(4096)
        writer.write(ANSWER)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[int]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def get(port: int, ca_file: Path | None) -> int:
    upstream = Upstream("shop", f"https://localhost:{port}/", ca_file=ca_file, retries=RetryLimits(tries=1))
    client = ResilientClient(upstream)
    try:
        return (await client.send(Request("GET", "thing"))).status
    finally:
        await client.close()


async def test_http_clients_believe_the_authority_that_they_were_told_and_no_other(
    authority: Authority, tmp_path: Path
) -> None:
    async with listening(context_of(authority.issue("localhost"))) as port:
        assert await get(port, authority.ca_file) == 200
        for other in (None, Authority(tmp_path, "another").ca_file):
            with pytest.raises(Unavailable, match="Certificate"):
                await get(port, other)


async def test_http_clients_refuse_a_certificate_of_another_host(authority: Authority) -> None:
    async with listening(context_of(authority.issue("elsewhere.example"))) as port:
        with pytest.raises(Unavailable, match="Certificate"):
            await get(port, authority.ca_file)


@pytest.mark.parametrize(("host", "believed"), [("localhost", True), ("elsewhere.example", False)])
async def test_redis_is_believed_by_its_certificate(
    redis_url: str, authority: Authority, host: str, believed: bool
) -> None:
    async with encrypted(redis_url, context_of(authority.issue(host))) as port:
        async with connect_redis(f"rediss://localhost:{port}/0", authority.ca_file) as redis:
            try:
                reached = bool(await redis.ping())
            except RedisError as error:
                reached = "CERTIFICATE_VERIFY_FAILED" not in str(error)
        async with connect_redis(f"rediss://localhost:{port}/0") as stranger:
            with pytest.raises(RedisError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.ping()
    assert reached is believed


@pytest.mark.parametrize(("version", "accepted"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
async def test_servers_speak_tls_1_2_or_newer(authority: Authority, version: str, accepted: bool) -> None:
    client = ssl.create_default_context(cafile=str(authority.ca_file))
    with pytest.warns(DeprecationWarning) if version == "TLSv1_1" else contextlib.nullcontext():
        client.minimum_version = client.maximum_version = ssl.TLSVersion[version]
    client.set_ciphers("ALL:@SECLEVEL=0")
    async with listening(context_of(authority.issue("localhost"))) as port:
        try:
            _, writer = await asyncio.open_connection("localhost", port, ssl=client)
            spoken = writer.get_extra_info("ssl_object").version()
            writer.close()
        except (ssl.SSLError, ConnectionError):
            spoken = ""
    assert bool(spoken) is accepted


async def test_servers_offer_no_cipher_without_forward_secrecy(authority: Authority) -> None:
    client = ssl.create_default_context(cafile=str(authority.ca_file))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE+AESCBC:AES256-SHA:AES128-GCM-SHA256:@SECLEVEL=0")
    async with listening(context_of(authority.issue("localhost"))) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("localhost", port, ssl=client)


async def test_a_renewed_certificate_counts_from_the_next_connection_on(authority: Authority) -> None:
    context = context_of(authority.issue("elsewhere.example"))
    async with listening(context) as port:
        renewed = authority.issue("localhost")
        load_certificate(context, renewed.cert, renewed.key)
        assert await get(port, authority.ca_file) == 200


def test_files_that_cannot_be_used_stop_the_start_with_a_word(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.issue("localhost"), authority.issue("localhost")
    hidden = authority.issue("localhost", password=b"secret")
    for cert, key, word in [
        (tmp_path / "none.pem", good.key, "No such file"),
        (good.cert, other.key, "KEY_VALUES_MISMATCH"),
        (hidden.cert, hidden.key, "encrypted"),
    ]:
        with pytest.raises(SettingsError, match=word):
            tls_of(CommonSettings(data_dir=tmp_path, tls_cert=cert, tls_key=key))
    with pytest.raises(SettingsError, match="belong together"):
        tls_of(CommonSettings(data_dir=tmp_path, tls_cert=good.cert))
    with pytest.raises(SettingsError, match="TRIPTYCH_CA_FILE"):
        client_context(good.key)


@pytest.mark.parametrize("word", ["require", "verify-full", "true"])
async def test_postgres_is_believed_by_its_certificate(authority: Authority, word: str) -> None:
    """It says that it can encrypt, and then shows a certificate of somebody else."""
    engine = create_engine("postgresql+asyncpg://localhost/none?ssl=disable")
    assert engine.url.query == {}
    shown = context_of(authority.issue("elsewhere.example"))

    async def postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        with contextlib.suppress(OSError):
            await writer.start_tls(shown)
        writer.close()

    async with await asyncio.start_server(postgres, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        engine = create_engine(f"postgresql+asyncpg://me@localhost:{port}/none?ssl={word}", authority.ca_file)
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'localhost'"):
            async with engine.connect():
                pass
        await engine.dispose()
