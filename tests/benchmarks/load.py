"""Callers that keep a server busy, with so little work of their own that the server is what is measured."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import httptools
import uvloop

from tests.benchmarks.result import percentile

SUCCESS = b'"isError":false'
PATIENCE_SECONDS = 30.0


@dataclass
class Load:
    """What the callers saw; times in seconds."""

    calls: int = 0
    failed: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answer: bytes = b""
    """Body of the last answer."""
    failure: bytes = b""
    """Body of the last one that was no success."""

    @property
    def per_second(self) -> float:
        return self.calls / self.seconds

    def milliseconds(self, share: float) -> float:
        """The quantile of the latency."""
        return percentile(self.latencies, share) * 1000


class _Caller(asyncio.Protocol):
    """One connection that sends the same request again once it is answered, after a pause, until the time is up."""

    def __init__(self, request: bytes, load: Load, pause: float) -> None:
        self._request = request
        self._load = load
        self._pause = pause
        self._parser = httptools.HttpResponseParser(self)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, until: float) -> None:
        """Send the first request."""
        self._until = until
        self._send()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._load.latencies.append(now - self._started)
        self._load.calls += 1
        self._load.answer = self._body
        if self._parser.get_status_code() != 200 or SUCCESS not in self._body:
            self._load.failed += 1
            self._load.failure = self._body
        if now + self._pause < self._until:
            self._again()
        else:
            self.done.set_result(None)
            self._transport.close()

    def _again(self) -> None:
        if self._pause:
            asyncio.get_running_loop().call_later(self._pause, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._body = b""
        self._started = time.perf_counter()
        self._transport.write(self._request)


def _same(caller: _Caller) -> _Caller:
    return caller


async def _drive(port: int, requests: Sequence[bytes], seconds: float, pause: float) -> Load:
    loop = asyncio.get_running_loop()
    load = Load()
    callers = [_Caller(request, load, pause) for request in requests]
    async with asyncio.timeout(seconds + PATIENCE_SECONDS):
        for caller in callers:
            await loop.create_connection(partial(_same, caller), "127.0.0.1", port)
        started = time.perf_counter()
        for number, caller in enumerate(callers):
            # With pauses they begin one after the other, as people do.
            loop.call_later(pause * number / len(callers), caller.start, started + seconds)
        await asyncio.gather(*(caller.done for caller in callers))
    load.seconds = time.perf_counter() - started
    return load


def drive(port: int, requests: Sequence[bytes], seconds: float, pause: float = 0.0) -> Load:
    """One caller for each request, all at once. Raises RuntimeError if any call was not a success."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load = runner.run(_drive(port, requests, seconds, pause))
    if load.failed:
        raise RuntimeError(f"{load.failed} of {load.calls} calls failed, the last of them with {load.failure[:500]!r}")
    return load
