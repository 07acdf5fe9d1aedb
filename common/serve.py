"""Runs an application under uvicorn; on SIGTERM it drains before it stops."""

import asyncio
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn
from sse_starlette.sse import AppStatus

from common.garbage import settle
from common.runtime import Runtime


class DrainingServer(uvicorn.Server):
    """Says `draining` on /health/ready for a while before the port closes, so that a balancer looks elsewhere first."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime) -> None:
        super().__init__(config)
        self.runtime = runtime

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open everything and listen."""
        await super().startup(sockets)
        settle()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal; a second signal stops at once."""
        first = not self.runtime.health.draining
        self.runtime.health.draining = True
        delay = self.runtime.settings.drain_delay_seconds
        if first and sig == signal.SIGTERM and delay:
            asyncio.get_running_loop().call_later(delay, super().handle_exit, sig, frame)
        else:
            super().handle_exit(sig, frame)


def serve_http(app: Any, runtime: Runtime, host: str, port: int) -> None:
    """Serve until a signal. Running calls get `drain_seconds` to end."""
    # Left alone it cuts every answer that is being streamed at the moment of the signal.
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(runtime.settings.drain_seconds),
        timeout_keep_alive=30,
    )
    DrainingServer(config, runtime).run()
