"""`triptych serve --tls-cert --tls-key`: both eras, secure cookies, and a certificate that is renewed."""

import asyncio
import contextlib
import shutil
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from common.security.api_keys import ApiKeyStore
from infra.cli.verticals import server_names
from infra.demo.servers import free_port
from tests.common.test_serve import ROOT
from tests.services.authority import Authority, Certificate

pytestmark = pytest.mark.slow


@dataclass
class Encrypted:
    process: asyncio.subprocess.Process
    url: str
    key: str
    trust: ssl.SSLContext
    authority: Authority
    shown: Certificate


@pytest.fixture(params=[1, 2])
async def encrypted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Encrypted]:
    authority = Authority(tmp_path)
    shown, port = authority.issue("localhost"), free_port(0)
    data = tmp_path / "data"
    _, key = ApiKeyStore(data / "api-keys.json").create("alice", "local", ["user", "auditor"], ["engineering"])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", "serve", server_names()[0], "--port", str(port), "--data-dir", str(data)),
        *("--tls-cert", str(shown.cert), "--tls-key", str(shown.key), "--workers", str(request.param)),
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    url = f"https://localhost:{port}"
    try:
        async with asyncio.timeout(60), httpx2.AsyncClient(verify=trust) as http:
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if (await http.get(f"{url}/health/ready")).status_code == 200:
                        break
                await asyncio.sleep(0.05)
        yield Encrypted(process, url, key, trust, authority, shown)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def serial(server: Encrypted) -> int:
    _, writer = await asyncio.open_connection("localhost", int(server.url.rpartition(":")[2]), ssl=server.trust)
    found = int(writer.get_extra_info("peercert")["serialNumber"], 16)
    writer.close()
    return found


async def test_a_server_encrypts_for_both_eras_and_for_browsers(encrypted: Encrypted) -> None:
    def factory(**given: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(**{**given, "verify": encrypted.trust})

    for mode in ("auto", "legacy"):
        transport = StreamableHttpTransport(
            f"{encrypted.url}/mcp", auth=encrypted.key, httpx_client_factory=cast(Any, factory)
        )
        async with Client(transport, mode=mode) as client:
            assert await client.list_tools()
    async with httpx2.AsyncClient(verify=encrypted.trust) as http:
        form = {"key": encrypted.key, "next": "/console"}
        answer = await http.post(f"{encrypted.url}/console/sign-in", data=form, headers={"Origin": encrypted.url})
    assert answer.status_code == 303 and "secure" in answer.headers["set-cookie"].lower()
    plain = encrypted.url.replace("https:", "http:")
    with pytest.raises(httpx2.TransportError):
        async with httpx2.AsyncClient() as http:
            await http.get(f"{plain}/health/live")


async def test_a_renewed_certificate_is_taken_up_without_a_restart(encrypted: Encrypted) -> None:
    before, renewed = await serial(encrypted), encrypted.authority.issue("localhost")
    shutil.copy(renewed.cert, encrypted.shown.cert)
    shutil.copy(renewed.key, encrypted.shown.key)
    encrypted.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(10):
        while await serial(encrypted) == before:
            await asyncio.sleep(0.02)
