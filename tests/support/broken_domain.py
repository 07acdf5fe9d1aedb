"""A domain server that is ill, in one way or another, on a loopback port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

Illness = Literal["hung", "dripping", "garbage", "not json", "error 500", "redirect", "torn", "endless"]
ILLNESSES: tuple[Illness, ...] = (
    "hung",
    "dripping",
    "garbage",
    "not json",
    "error 500",
    "redirect",
    "torn",
    "endless",
)
HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class BrokenDomain:
    """Says that it is healthy, and is not."""

    def __init__(self, illness: Illness, elsewhere: str) -> None:
        self._illness = illness
        self._elsewhere = elsewhere
        self.asked = 0
        """Requests to its /mcp."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                writer.write(HEALTHY)
                await writer.drain()
            else:
                self.asked += 1
                await self._answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        if self._illness == "hung":
            await asyncio.sleep(60)
        elif self._illness == "dripping":
            writer.write(JSON + b"Content-Length: 1000\r\n\r\n{")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        elif self._illness == "garbage":
            writer.write(bytes(range(256)) * 4)
        elif self._illness == "not json":
            writer.write(JSON + b"Content-Length: 9\r\n\r\n<b>hi</b>")
        elif self._illness == "error 500":
            writer.write(b"HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        elif self._illness == "redirect":
            writer.write(f"HTTP/1.1 307 Go\r\nLocation: {self._elsewhere}\r\nContent-Length: 0\r\n\r\n".encode())
        elif self._illness == "torn":
            writer.write(JSON + b'Content-Length: 1000\r\n\r\n{"jsonrpc":"2.0","id":1,"resu')
        else:
            writer.write(EVENTS)
            while True:
                writer.write(b": still here\n\n" * 100)
                await writer.drain()
                await asyncio.sleep(0.02)
        await writer.drain()


@asynccontextmanager
async def broken_domain(illness: Illness, elsewhere: str = "") -> AsyncIterator[tuple[str, BrokenDomain]]:
    """Its address, and the server."""
    domain = BrokenDomain(illness, elsewhere)
    server = await asyncio.start_server(domain.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", domain
    finally:
        server.close()
