"""An answer that goes on, over both transports: what is done with a browser that takes nothing, or goes away."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from common.console import live as answers
from common.console.live import Batch, LiveAnswer
from common.edge import as_request
from common.errors import Unavailable
from tests.support.audit import until
from tests.support.live import live
from tests.support.live_streams import Message, Transport, messages, websocket

BOTH = pytest.mark.parametrize("transport", ["events", "websocket"])
LARGE = 200_000
REQUESTS = {
    "events": "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "websocket": "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
}
HELLO = b"\x81\x80\x00\x00\x00\x00"
"""The frame of an empty text."""


class Stream:
    """Numbers without end, in batches of some size; it knows how many are open, and how far they were taken."""

    def __init__(self, size: int = 10, end: BaseException | None = None) -> None:
        self.size, self.end = size, end
        self.open = 0
        self.taken = 0

    async def batches(self, after: str | None) -> AsyncGenerator[Batch, None]:
        self.open += 1
        try:
            for number in range(int(after or 0) + 1, 100_000):
                if self.end and number == 4:
                    raise self.end
                yield Batch(f'[{number}, "{"x" * self.size}"]', str(number))
                self.taken += 1
                await asyncio.sleep(0.001)
        finally:
            self.open -= 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await LiveAnswer(Request(as_request(scope)), self.batches)(scope, receive, send)


@asynccontextmanager
async def browser(stream: Stream) -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=[Route("/", stream), WebSocketRoute("/", stream)])
    async with live(app) as url, httpx2.AsyncClient(base_url=url) as client:
        yield client


async def some(transport: Transport, client: httpx2.AsyncClient, last: str = "") -> list[Message]:
    """Until it ends by itself or there are enough."""
    found: list[Message] = []
    async for message in messages(transport, client, "/", last):
        found.append(message)
        if len(found) == 5:
            break
    return found


@BOTH
async def test_a_client_that_goes_away_is_forgotten_and_goes_on_where_it_was(transport: Transport) -> None:
    stream = Stream()
    async with browser(stream) as client:
        first = await some(transport, client)
        await until(lambda: stream.open == 0)
        second = await some(transport, client, first[-1].place)
    assert [message.data[0] for message in first + second] == list(range(1, 11))
    assert [message.place for message in first] == ["1", "2", "3", "4", "5"]


@BOTH
async def test_what_is_away_for_now_is_to_be_asked_again(transport: Transport) -> None:
    stream = Stream(end=Unavailable("The cluster does not answer."))
    async with browser(stream) as client:
        found = await some(transport, client)
    assert [message.data[0] for message in found[:3]] == [1, 2, 3]
    # Server-sent events just end: the browser itself connects anew.
    ends = [(message.code, message.data) for message in found[3:]]
    assert ends == ([(1013, "The cluster does not answer.")] if transport == "websocket" else [])


@BOTH
async def test_who_does_not_read_holds_nobody_up_and_is_left(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SEND_SECONDS", 0.5)
    stream = Stream(LARGE)
    async with browser(stream) as client:
        with socket.socket() as still:
            still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            still.setblocking(False)
            loop, host = asyncio.get_running_loop(), client.base_url.host
            await loop.sock_connect(still, (host, client.base_url.port))
            await loop.sock_sendall(still, REQUESTS[transport].format(host=host).encode())
            if transport == "websocket":
                assert b" 101 " in await loop.sock_recv(still, 1024)
                await loop.sock_sendall(still, HELLO)
            await until(lambda: stream.taken > 0)
            assert [message.data[0] for message in await some(transport, client)] == [1, 2, 3, 4, 5]
            await until(lambda: stream.open == 0)
            taken = stream.taken
    # What was taken lies in buffers of the operating system: of bounded size.
    assert taken * LARGE < 64 * 1024 * 1024


async def test_who_opens_a_websocket_and_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "HELLO_SECONDS", 0.05)
    stream = Stream()
    async with browser(stream) as client, websocket(client, "/") as silent, asyncio.timeout(60):
        await silent.wait_closed()
        assert (silent.close_code, stream.open) == (1008, 0)
