"""Several processes behind one port: each answers, a killed one is replaced, and all of them end together."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infra.demo.servers import free_port
from tests.common.test_serve import HEADERS, ROOT, until_ready

# A parent that inherits orphans, as the first process of a container does. Its worker starts a helper and is killed;
# the next one waits until the helper is reaped, too, and ends the parent.
ORPHAN = """
import ctypes, os, pathlib, signal, subprocess, sys, time
from common import workers
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
parent, helper = os.getpid(), pathlib.Path(sys.argv[1])
def work(slot, lifeline):
    if not helper.exists():
        helper.write_text(str(subprocess.Popen(["sleep", "0.1"]).pid))
        os.kill(os.getpid(), signal.SIGKILL)
    while os.path.exists(f"/proc/{helper.read_text()}"):
        time.sleep(0.01)
    os.kill(parent, signal.SIGTERM)
    os.read(lifeline, 1)
workers.LONGEST_PAUSE_SECONDS = 0
some = workers.Workers(1, work)
some._quick_deaths[0] = int(sys.argv[2])
sys.exit(some.run())
"""
COUNT = re.compile(r'triptych_call_seconds_count\{worker="(\d)".*action="process".*\} (\d+)')
IN_FLIGHT = re.compile(r"triptych_calls_in_flight\{.*\} (\d+)")


@dataclass
class Running:
    """The parent process, and how to call its workers."""

    process: asyncio.subprocess.Process
    url: str
    key: str

    async def call(self, name: str, **arguments: Any) -> Any:
        """Over a connection of its own, so that any worker may get it."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        async with httpx2.AsyncClient(timeout=30) as http:
            answer = await http.post(f"{self.url}/mcp", json=body, headers={**HEADERS, "X-API-Key": self.key})
        found = re.search(r'"structuredContent":\{"result":([^}]*)\}', answer.text)
        assert answer.status_code == 200 and found, answer.text
        return float(found[1])

    async def workers(self, least: int, other_than: int = 0) -> set[int]:
        """Process ids that answer, once there are so many."""
        seen: set[int] = set()
        async with asyncio.timeout(60):
            while len(seen - {other_than}) < least:
                with contextlib.suppress(httpx2.TransportError):
                    seen.add(int(await self.call("process")))
        return seen - {other_than}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    port = free_port(0)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.slow_server", str(tmp_path), str(port), "2"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        key = (await process.stdout.readline()).decode().strip()
        await until_ready(f"http://127.0.0.1:{port}")
        yield Running(process, f"http://127.0.0.1:{port}", key)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(pid: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_killed_worker_is_replaced_and_metrics_are_those_of_all(running: Running) -> None:
    one, two = await running.workers(2)
    os.kill(one, signal.SIGKILL)
    assert len(await running.workers(2, other_than=one)) == 2
    for _ in range(10):
        await running.call("process")
    async with httpx2.AsyncClient() as http:
        pages = [(await http.get(f"{running.url}/metrics")).text for _ in range(4)]
    counts = [dict(COUNT.findall(page)) for page in pages]
    assert all(set(count) == {"0", "1"} for count in counts) and len({str(count) for count in counts}) == 1
    assert two in await running.workers(2)


@pytest.mark.slow
async def test_on_sigterm_all_finish_what_runs(running: Running) -> None:
    pids = await running.workers(2)
    calls = [asyncio.create_task(running.call("wait", seconds=2)) for _ in range(8)]
    async with httpx2.AsyncClient() as http, asyncio.timeout(20):
        while (
            sum(map(float, re.findall(r"calls_in_flight\{.*\} (\d+)", (await http.get(f"{running.url}/metrics")).text)))
            < 8
        ):
            await asyncio.sleep(0.02)
    running.process.send_signal(signal.SIGTERM)
    assert all(left > 0 for left in await asyncio.gather(*calls))
    async with asyncio.timeout(20):
        assert await running.process.wait() == 0
    for pid in pids:
        await ended(pid)


@pytest.mark.slow
async def test_without_their_parent_the_workers_end(running: Running) -> None:
    pids = await running.workers(2)
    running.process.kill()
    for pid in pids:
        await ended(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for orphans")
@pytest.mark.parametrize("deaths", [0, 1100])
async def test_the_parent_outlives_orphans_and_endless_deaths(tmp_path: Path, deaths: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHAN, str(tmp_path / "helper"), str(deaths)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
