"""What is refused before anything reads the request."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from common.edge import RequestSizeLimit
from tests.support.apps import URL, Small, small_server

HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "MCP-Protocol-Version": "2025-11-25",
}
LIST = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}'


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Small]:
    async with small_server(tmp_path, max_request_bytes=2000, allowed_hosts=["kb.example"]) as server:
        yield server


async def post(small: Small, body: bytes | AsyncIterator[bytes] = LIST, **headers: str) -> tuple[int, str]:
    sent = {
        **HEADERS,
        "Authorization": f"Bearer {small.token()}",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    async with small.asgi.http_client() as http:
        answer = await http.post(f"{URL}/mcp", content=body, headers=sent)
    return answer.status_code, answer.text


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 500):
        yield b" " * 500


async def test_a_body_within_the_limit_passes(small: Small) -> None:
    assert (await post(small))[0] == 200


async def test_a_large_body_is_refused_by_its_declared_length(small: Small) -> None:
    status, text = await post(small, b" " * 2001)
    assert status == 413 and "larger than 2000 bytes" in text


async def test_a_large_body_is_refused_while_it_streams(small: Small) -> None:
    assert (await post(small, chunks(50_000)))[0] == 413


async def test_a_nonsense_length_is_refused(small: Small) -> None:
    assert (await post(small, Content_Length="-5"))[0] in (400, 413)


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("kb.example", 200), ("127.0.0.1:8001", 200)])
async def test_the_host_must_be_ours(small: Small, host: str, status: int) -> None:
    assert (await post(small, Host=host))[0] == status


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("http://127.0.0.1:8001", 200)])
async def test_the_origin_must_be_ours(small: Small, origin: str, status: int) -> None:
    assert (await post(small, Origin=origin))[0] == status


async def test_the_public_address_is_ours_though_a_proxy_ends_tls(tmp_path: Path) -> None:
    async with small_server(tmp_path, public_url="https://mcp.example:8443/kb") as behind:
        host, origin = "mcp.example:8443", "https://mcp.example:8443"
        assert (await post(behind, Host=host, Origin=origin))[0] == 200
        assert (await post(behind, Host=host, Origin="https://evil.example"))[0] == 403
        assert (await post(behind, Host="other.example"))[0] == 421


async def test_every_answer_carries_a_request_id_that_cannot_be_abused(small: Small) -> None:
    async with small.asgi.http_client() as http:
        given = await http.get("/health/live", headers={"X-Request-Id": "abcdef-123456"})
        forged = await http.get("/health/live", headers={"X-Request-Id": "short\tor strange"})
    assert given.headers["x-request-id"] == "abcdef-123456"
    assert len(forged.headers["x-request-id"]) == 24


async def test_only_the_named_path_may_be_larger() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(str(len(await Request(scope, receive).body())))(scope, receive, send)

    limited = RequestSizeLimit(app, 1000, {"/large": 5000})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(limited), base_url=URL) as http:
        for path, size, status in (("/large", 5000, 200), ("/large", 5500, 413), ("/large/", 1500, 413)):
            assert (await http.post(path, content=b" " * size)).status_code == status
            assert (await http.post(path, content=chunks(size))).status_code == status
