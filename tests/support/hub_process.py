"""A support hub in a process of its own, over the simulated platforms."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from infra.demo.servers import is_ready
from infra.seed.support import load_support
from tests.support.crm import RunningSuite
from tests.support.hub import settings_of

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def hub_process(
    crm: RunningSuite, folder: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[str, str]]:
    """Address and an agent's key of a running server with the demo company's orders."""
    common = CommonSettings(data_dir=folder)
    await load_support(common)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIPTYCH_", "SUPPORT_"))}
    given = {"TRIPTYCH_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT), **settings_of(crm), **(settings or {})}
    serve = [sys.executable, "-m", "infra.cli", "serve", "support-hub", "--port", str(port)]
    environment = {**kept, **given}
    running = await asyncio.to_thread(lambda: subprocess.Popen(serve, env=environment, cwd=folder))  # noqa: S603 - ours
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(120):
            while not await asyncio.to_thread(is_ready, url):
                await asyncio.sleep(0.1)
        store = ApiKeyStore(api_keys_path(common))
        yield url, store.create("maureen", "local", ["agent"], ["support"], "internal")[1]
    finally:
        running.terminate()
        running.wait(30)
