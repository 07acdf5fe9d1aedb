"""A small server that speaks clamd's INSTREAM and can misbehave: a stand-in where no clamd is installed."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

WORM = b"a worm that only this server knows"


class ClamdServer:
    """`behaviour`: ok, hang, hang_up, error, nonsense, endless, too_large."""

    def __init__(self) -> None:
        self.behaviour = "ok"
        self.scanned: list[bytes] = []
        self.connections = 0
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
            await self._answer(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.behaviour == "too_large":
            writer.write(b"INSTREAM size limit exceeded. ERROR\0")
            return
        data = b""
        while size := struct.unpack(">I", await reader.readexactly(4))[0]:
            data += await reader.readexactly(size)
        self.scanned.append(data)
        if self.behaviour == "hang":
            await asyncio.sleep(3600)
        elif self.behaviour == "endless":
            writer.write(b"stream: " + b"x" * 100_000)
        elif self.behaviour != "hang_up":
            found = b"stream: Test.Worm-1 FOUND\0" if WORM in data else b"stream: OK\0"
            writer.write({"error": b"Can't allocate memory ERROR\0", "nonsense": b"OK\0"}.get(self.behaviour, found))


@asynccontextmanager
async def clamd_server(socket: str | None = None) -> AsyncIterator[ClamdServer]:
    """The server on a free port of this machine, or on a Unix socket."""
    clamd = ClamdServer()
    if socket:
        server = await asyncio.start_unix_server(clamd.serve, socket)
        clamd.address = socket
    else:
        server = await asyncio.start_server(clamd.serve, "127.0.0.1", 0)
        clamd.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield clamd
    finally:
        server.close()
