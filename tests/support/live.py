"""An ASGI application on a real port, for clients that make their own connections."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from common.serve import WEBSOCKETS


@asynccontextmanager
async def live(app: Any, listening: socket.socket | None = None) -> AsyncIterator[str]:
    """Yields the URL."""
    listening = listening or free_socket()
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, **WEBSOCKETS)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    try:
        async with asyncio.timeout(60):
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
        yield url_of(listening)
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def live_at(build: Callable[[str], Any]) -> AsyncIterator[str]:
    """The same for an application that has to know its URL before."""
    listening = free_socket()
    async with live(build(url_of(listening)), listening) as url:
        yield url


def free_socket() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    return listening


def url_of(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
