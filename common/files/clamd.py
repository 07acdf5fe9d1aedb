"""Malware scan by a clamd, over TCP or a Unix socket: its command INSTREAM.

The client library on PyPI is under the GPL and only limits single reads, not the whole scan, so this speaks the few
bytes of the protocol itself.
"""

import asyncio
import contextlib
import struct

from common.errors import SettingsError, Unavailable
from common.files.refusal import Refused

_BLOCK = 64 * 1024
_MAX_ANSWER = 4096


class ClamdScanner:
    """Implements Scanner. `address` is `host:port`, or the absolute path of a socket."""

    def __init__(self, address: str, timeout_seconds: float = 10.0, tries: int = 2) -> None:
        self._path = address if address.startswith("/") else None
        self._host, _, port = address.rpartition(":")
        if self._path is None and not (self._host and port.isdigit()):
            raise SettingsError(f"{address!r} is no address of a clamd: use host:port or the path of its socket")
        self._port = 0 if self._path else int(port)
        self._timeout = timeout_seconds
        self._tries = tries

    async def scan(self, data: bytes) -> str | None:
        """See Scanner. Each try has `timeout_seconds` for everything."""
        for _ in range(self._tries):
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(self._timeout):
                    return _verdict(await self._ask(data))
        # A clamd that finds a file too large often resets the connection before its answer can be read.
        raise _down("does not answer, or hangs up because the file is larger than its StreamMaxLength")

    async def ping(self) -> None:
        """For health checks. Raises Unavailable."""
        await self.scan(b"ping")

    async def _ask(self, data: bytes) -> str:
        reader, writer = await self._connect()
        try:
            writer.write(b"zINSTREAM\0")
            # It hangs up in the middle of a file that is too large for it, and its answer says so.
            with contextlib.suppress(ConnectionError):
                for start in range(0, len(data), _BLOCK):
                    block = data[start : start + _BLOCK]
                    writer.write(struct.pack(">I", len(block)) + block)
                    await writer.drain()
                writer.write(struct.pack(">I", 0))
                await writer.drain()
            return (await reader.readuntil(b"\0"))[:-1].decode("utf-8", "replace")
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._path is not None:
            return await asyncio.open_unix_connection(self._path, limit=_MAX_ANSWER)
        return await asyncio.open_connection(self._host, self._port, limit=_MAX_ANSWER)


def _verdict(answer: str) -> str | None:
    """`stream: OK` is the only answer that lets a file pass."""
    if answer == "stream: OK":
        return None
    if answer.startswith("stream: ") and answer.endswith(" FOUND"):
        return "".join(c for c in answer[8:-6] if c.isprintable())[:100]
    if "size limit exceeded" in answer:
        raise Refused("The file is larger than the malware scanner takes: split it, or raise StreamMaxLength of clamd")
    raise _down("failed")


def _down(what: str) -> Unavailable:
    hint = "Nothing was taken in: try again; the operator finds the address in the settings."
    return Unavailable(f"The malware scanner {what}.", hint, retry_after=30)
