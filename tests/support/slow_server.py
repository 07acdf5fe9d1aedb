"""`python -m tests.support.slow_server FOLDER PORT [WORKERS]`: the small server under uvicorn; prints a key first."""

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from mcp.types import ToolAnnotations

from common.runtime import Runtime, build_runtime
from common.serve import Worker, serve_http
from common.server import build_app, build_server
from common.settings import CommonSettings
from common.workers import Workers, listen
from tests.support.apps import POLICY, add_tools


def build(folder: Path, port: int) -> tuple[Any, Runtime]:
    policy = folder / "policy.cedar"
    if not policy.exists():
        # Once, by the parent: a worker could read what another one is writing.
        policy.write_text(POLICY)
    settings = CommonSettings(data_dir=folder, drain_delay_seconds=0.5, drain_seconds=5)
    runtime = build_runtime("small", settings, [policy])

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        async with runtime.opened():
            yield {}

    base_url = f"http://127.0.0.1:{port}"
    server = build_server(runtime, "A small server.", lifespan, base_url)
    add_tools(server, [])

    @server.tool(annotations=ToolAnnotations(readOnlyHint=True))
    async def process() -> int:
        return os.getpid()

    return build_app(server, runtime, base_url), runtime


def main(folder: Path, port: int, workers: int) -> None:
    app, runtime = build(folder, port)
    sys.stdout.write(runtime.credentials.api_keys.create("alice", "acme", ["user"], [])[1] + "\n")
    sys.stdout.flush()
    if workers == 1:
        return serve_http(app, runtime, "127.0.0.1", port)
    listening, meeting = listen("127.0.0.1", port), Path(tempfile.mkdtemp())

    def work(slot: int, lifeline: int) -> None:
        serve_http(*build(folder, port), "127.0.0.1", port, Worker(slot, listening, lifeline, meeting))

    sys.exit(Workers(workers, work).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
