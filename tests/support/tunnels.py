"""Encryption in front of real servers that do not encrypt by themselves."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from common.tls import server_context
from tests.services.authority import Certificate


def context_of(certificate: Certificate) -> ssl.SSLContext:
    return server_context(certificate.cert, certificate.key)


@asynccontextmanager
async def encrypted(url: str, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of a tunnel to a real server that does not encrypt by itself."""
    target = urlsplit(url)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(4096):
                writer.write(part)
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    async with await asyncio.start_server(join, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
