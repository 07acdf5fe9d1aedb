"""A live page as a browser reads it: as server-sent events, or over a WebSocket. Both give the same."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

HERE = "here"
Transport: TypeAlias = Literal["events", "websocket"]


@dataclass(frozen=True)
class Message:
    """What came: a batch with its place, or why it ended."""

    data: Any
    place: str = ""
    code: int | None = None
    """Of the end; 0 where the transport has none."""

    @property
    def is_end(self) -> bool:
        return self.code is not None


def messages(
    transport: Transport, browser: httpx2.AsyncClient, address: str, last: str = ""
) -> AsyncGenerator[Message, None]:
    """What comes after a place, with the session of this browser."""
    return (_events if transport == "events" else _websocket)(browser, address, last)


async def refusal(transport: Transport, browser: httpx2.AsyncClient, address: str) -> int:
    """The status of what was not opened."""
    if transport == "events":
        return (await browser.get(address)).status_code
    try:
        async with websocket(browser, address):
            raise AssertionError("it was opened")
    except InvalidStatus as refused:
        return refused.response.status_code


def websocket(
    browser: httpx2.AsyncClient, address: str, origin: str | None = HERE, name: str = "127.0.0.1", **headers: str
) -> connect:
    """A WebSocket as a page of `origin` opens it; None: as a program that says nothing. `name` is the server's."""
    port = browser.base_url.port
    cookie = "; ".join(f"{each.name}={each.value}" for each in browser.cookies.jar)
    given = {"Cookie": cookie, **headers}
    if origin is not None:
        given["Origin"] = f"http://{name}:{port}" if origin == HERE else origin
    url = f"ws://{name}:{port}{address}"
    return connect(
        url, additional_headers=given, proxy=None, compression=None, close_timeout=0.2, host="127.0.0.1", port=port
    )


async def _events(browser: httpx2.AsyncClient, address: str, last: str) -> AsyncGenerator[Message, None]:
    headers = {"Last-Event-ID": last} if last else {}
    async with browser.stream("GET", address, headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        event, place = "message", ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                place = value
            elif name == "data":
                yield Message(json.loads(value), place, 0 if event == "end" else None)
                event = "message"


async def _websocket(browser: httpx2.AsyncClient, address: str, last: str) -> AsyncGenerator[Message, None]:
    async with websocket(browser, address) as socket:
        await socket.send(last)
        async for message in _read(socket):
            yield message


async def _read(socket: ClientConnection) -> AsyncGenerator[Message, None]:
    try:
        while True:
            batch = json.loads(await socket.recv())
            yield Message(batch["data"], batch["place"])
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "it broke off"
        yield Message(closed.rcvd.reason, code=closed.rcvd.code)
