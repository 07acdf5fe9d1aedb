"""A server process: it drains on SIGTERM, and speaks over stdio."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2

from infra.demo.servers import free_port

ROOT = Path(__file__).parents[2]
WAIT = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "wait", "arguments": {"seconds": 2}}}
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
IN_FLIGHT = 'triptych_calls_in_flight{server="small"} 1.0'


async def until_ready(url: str, status: int = 200) -> dict[str, Any]:
    async with asyncio.timeout(60), httpx2.AsyncClient() as http:
        while True:
            try:
                answer = await http.get(f"{url}/health/ready")
                if answer.status_code == status:
                    report: dict[str, Any] = answer.json()
                    return report
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.02)


async def test_on_sigterm_it_says_so_finishes_what_runs_and_ends(tmp_path: Path) -> None:
    port = free_port(0)
    url = f"http://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.slow_server", str(tmp_path), str(port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        token = (await process.stdout.readline()).decode().strip()
        await until_ready(url)
        async with httpx2.AsyncClient(timeout=30) as http:
            running = asyncio.create_task(http.post(f"{url}/mcp", json=WAIT, headers=HEADERS | {"X-API-Key": token}))
            while IN_FLIGHT not in (await http.get(f"{url}/metrics")).text:
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert (await until_ready(url, 503))["status"] == "draining"
            answer = await running
        assert answer.status_code == 200 and '"isError":false' in answer.text
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
