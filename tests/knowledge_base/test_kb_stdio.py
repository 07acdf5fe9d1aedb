"""The knowledge base over stdio: it acts as the local user."""

import os
import sys
from pathlib import Path

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_stdio_it_acts_as_the_local_user(tmp_path: Path, mode: str) -> None:
    environment = {**os.environ, "TRIPTYCH_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    arguments = ["-m", "infra.cli", "serve", "knowledge-base", "--transport", "stdio"]
    transport = StdioTransport(sys.executable, arguments, env=environment, cwd=str(tmp_path))
    async with Client(transport, mode=mode) as client:
        assert {"search", "fetch"} <= {tool.name for tool in await client.list_tools()}
        assert (await client.call_tool("list_documents")).structured_content["items"] == []
