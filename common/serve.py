"""Runs an application under uvicorn; on SIGTERM it drains before it stops."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvicorn
from sse_starlette.sse import AppStatus

from common.errors import SettingsError
from common.garbage import settle
from common.observability.siblings import Siblings
from common.runtime import Runtime
from common.settings import CommonSettings
from common.tls import load_certificate, server_context

log = structlog.get_logger(__name__)
WEBSOCKETS: dict[str, Any] = {
    # All that a client says is where it was.
    "ws_max_size": 64 * 1024,
    # A compressor for each follower would cost more than the lines of a log.
    "ws_per_message_deflate": False,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
}


@dataclass(frozen=True)
class Worker:
    """What a worker shares with the others."""

    slot: int
    listening: socket.socket
    lifeline: int
    """Can be read once the parent is gone."""
    folder: Path
    """Where the workers find each other."""


class DrainingServer(uvicorn.Server):
    """Says `draining` on /health/ready for a while before the port closes, so that a balancer looks elsewhere first."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime, worker: Worker | None = None) -> None:
        super().__init__(config)
        self.runtime = runtime
        self.worker = worker

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open everything and listen."""
        if self.worker is not None:
            metrics, traces = self.runtime.metrics, self.runtime.traces
            metrics.siblings = siblings = Siblings(self.worker.folder, self.worker.slot, metrics.own, traces)
            traces.others = siblings.traces_of
            await siblings.open()
            asyncio.get_running_loop().add_reader(self.worker.lifeline, self._orphaned)
        if self.config.ssl is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._renew, self.config.ssl)
        await super().startup(sockets)
        settle()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what runs end, and close everything."""
        await super().shutdown(sockets)
        if self.runtime.metrics.siblings is not None:
            await self.runtime.metrics.siblings.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal; a second signal stops at once."""
        first = not self.runtime.health.draining
        self.runtime.health.draining = True
        delay = self.runtime.settings.drain_delay_seconds
        if first and sig == signal.SIGTERM and delay:
            asyncio.get_running_loop().call_later(delay, super().handle_exit, sig, frame)
        else:
            super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends with 0 after SIGTERM: what was asked for was done, and nobody has to look why it died."""
        with super().capture_signals():
            yield
            self._captured_signals[:] = [each for each in self._captured_signals if each != signal.SIGTERM]

    def _orphaned(self) -> None:
        assert self.worker is not None  # noqa: S101 - it has a lifeline
        asyncio.get_running_loop().remove_reader(self.worker.lifeline)
        log.error("worker.orphaned")
        os.kill(os.getpid(), signal.SIGTERM)

    def _renew(self, context: ssl.SSLContext) -> None:
        settings = self.runtime.settings
        assert settings.tls_cert and settings.tls_key  # noqa: S101 - there is a context of them
        try:
            load_certificate(context, settings.tls_cert, settings.tls_key)
        except SettingsError as error:
            log.error("tls.not_renewed", error=str(error))
        else:
            log.info("tls.renewed")


def tls_of(settings: CommonSettings) -> ssl.SSLContext | None:
    """What the settings say, if the server itself encrypts. Raises SettingsError."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise SettingsError("TRIPTYCH_TLS_CERT and TRIPTYCH_TLS_KEY belong together: give both or none")
    return server_context(settings.tls_cert, settings.tls_key)


def serve_http(app: Any, runtime: Runtime, host: str, port: int, worker: Worker | None = None) -> None:
    """Serve until a signal. Running calls get `drain_seconds` to end."""
    # Left alone it cuts every answer that is being streamed at the moment of the signal.
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]
    tls = tls_of(runtime.settings)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(runtime.settings.drain_seconds),
        timeout_keep_alive=30,
        forwarded_allow_ips=runtime.settings.trusted_proxies,
        ssl_context_factory=(lambda *_: tls) if tls else None,
        **WEBSOCKETS,
    )
    DrainingServer(config, runtime, worker).run([worker.listening] if worker else None)
