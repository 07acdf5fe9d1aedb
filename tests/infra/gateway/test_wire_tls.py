"""The gateway encrypts what it sends to domain servers, and sends nothing to somebody else."""

from pathlib import Path

import pytest

from infra.gateway.adapters.aiohttp_wire import AiohttpWire
from infra.gateway.wire import WireFailure
from tests.common.test_tls import listening
from tests.services.authority import Authority
from tests.support.tunnels import context_of


async def status(url: str, ca_file: Path | None) -> int:
    wire = AiohttpWire([url], ca_file)
    try:
        async with wire.post(url, {}, b"{}", 5) as reply:
            return reply.status
    finally:
        await wire.close()


async def test_a_domain_server_is_believed_by_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with listening(context_of(authority.issue("localhost"))) as port:
        assert await status(f"https://localhost:{port}/mcp", authority.ca_file) == 200
        with pytest.raises(WireFailure, match="Certificate"):
            await status(f"https://localhost:{port}/mcp", None)
    async with listening(context_of(authority.issue("elsewhere.example"))) as port:
        with pytest.raises(WireFailure, match="Certificate"):
            await status(f"https://localhost:{port}/mcp", authority.ca_file)
