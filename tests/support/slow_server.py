"""`python -m tests.support.slow_server FOLDER PORT`: the small server under uvicorn; prints a key once it is built."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastmcp import FastMCP

from common.runtime import build_runtime
from common.serve import serve_http
from common.server import build_app, build_server
from common.settings import CommonSettings
from tests.support.apps import POLICY, add_tools


def main(folder: Path, port: int) -> None:
    policy = folder / "policy.cedar"
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
    sys.stdout.write(runtime.credentials.api_keys.create("alice", "acme", ["user"], [])[1] + "\n")
    sys.stdout.flush()
    serve_http(build_app(server, runtime, base_url), runtime, "127.0.0.1", port)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
