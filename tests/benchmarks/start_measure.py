"""Starts one process, and says after how many seconds it was ready and after how many it had done something useful."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from common.security.access import Access, AccessScope
from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from infra.demo.servers import is_ready, start_server, stop_server
from infra.seed.documents import TENANT
from knowledge_base.bootstrap import build_knowledge_base, opened
from knowledge_base.documents import NewDocument
from knowledge_base.settings import KnowledgeBaseSettings
from tests.benchmarks.requests import structured, tool_call

PATIENCE_SECONDS = 60.0
NOTE = "# Tea\n\nOolong is brewed at 90 degrees."
Times = tuple[float, float]
"""Seconds from the start of the process: ready, and useful."""


def command(*arguments: str) -> Sequence[str]:
    """A `triptych` command."""
    return [sys.executable, "-m", "infra.cli", *arguments]


def time_server(data: Path) -> Times:
    """Ready as /health/ready says; useful when a search over MCP is answered."""
    _, key = ApiKeyStore(api_keys_path(CommonSettings(data_dir=data))).create("ben", TENANT, ["user"], [])
    started = time.monotonic()
    server = start_server("knowledge-base", 0, data)
    try:
        ready = _until(lambda: is_ready(server.url), server.process, started)
        _search(server.url, key)
        return ready, time.monotonic() - started
    finally:
        stop_server(server)


def time_worker(data: Path) -> Times:
    """Ready as it says itself; useful when a document that waited is searchable."""
    asyncio.run(_leave_a_document(data))
    started = time.monotonic()
    process = subprocess.Popen(command("worker", "knowledge-base", "--data-dir", str(data)), stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        if b"ready" not in (said := process.stderr.readline()):
            raise RuntimeError(f"the worker did not start: {said.decode()}")
        ready = time.monotonic() - started
        return ready, _until(lambda: _state(data) == "done", process, started)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)


def time_ingest(folder: Path) -> Times:
    """Ready when the command has taken its first job, useful when the document is searchable."""
    folder.mkdir()
    (folder / "note.md").write_text(NOTE)
    data = folder / "data"
    started = time.monotonic()
    arguments = command("ingest", str(folder / "note.md"), "--data-dir", str(data))
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        ready = _until(lambda: _state(data) in ("running", "done"), process, started)
        return ready, _until(lambda: _state(data) == "done", process, started)
    finally:
        process.wait(PATIENCE_SECONDS)


def _search(url: str, key: str) -> None:
    headers, body = tool_call("modern", "search", {"query": "How long is the warranty?"})
    request = urllib.request.Request(f"{url}/mcp", body, {**headers, "Authorization": f"Bearer {key}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own loopback URL
        structured(answer.read())


async def _leave_a_document(data: Path) -> None:
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=data), KnowledgeBaseSettings())
    async with opened(knowledge_base, work=False):
        note = NewDocument(TENANT, "note", "note.md", NOTE.encode(), Access("public"))
        await knowledge_base.library.add(note, AccessScope(TENANT, "operator", clearance="public"), operator=True)


def _state(data: Path) -> str:
    """State of the only job."""
    database = data / "knowledge-base" / "catalog.db"
    with contextlib.suppress(sqlite3.OperationalError):  # not there yet
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT state FROM jobs").fetchone()
            return str(row[0]) if row else ""
    return ""


def _until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", started: float) -> float:
    """Seconds from the start until it held."""
    while not condition():
        failed = process.poll() not in (None, 0)
        if failed or time.monotonic() - started > PATIENCE_SECONDS:
            raise RuntimeError(f"{process.args!r} was of no use after {time.monotonic() - started:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - started
