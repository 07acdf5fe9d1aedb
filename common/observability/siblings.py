"""Workers of one server know each other's metrics and traces, so that whichever is asked answers for all of them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from common.observability.traces import Trace, Traces, decoded, encoded

ANSWER_SECONDS = 1.0
METRICS = b"metrics"
Exposition = Callable[[], Awaitable[bytes]]


def labelled(exposition: bytes, worker: int) -> bytes:
    """The same with the label `worker`: a counter that begins anew with a new process then does so by itself."""
    label = b'{worker="%d"' % worker
    return b"\n".join(_with_label(line, label) for line in exposition.splitlines())


def _with_label(line: bytes, label: bytes) -> bytes:
    if not line or line.startswith(b"#"):
        return line
    # A name holds neither braces nor spaces, so the first of them ends it.
    name, brace, rest = line.partition(b"{")
    if brace and b" " not in name:
        return name + label + b"," + rest
    name, _, rest = line.partition(b" ")
    return name + label + b"} " + rest


def merged(expositions: list[bytes]) -> bytes:
    """One exposition of several: each metric's help and type once, as the format demands."""
    families: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
    for exposition in expositions:
        head: list[bytes] = []
        samples: list[bytes] = []
        for line in exposition.splitlines():
            if line.startswith(b"# HELP "):
                head, samples = families.setdefault(line.split(b" ")[2], ([], []))
            if line.startswith(b"#"):
                if line not in head:
                    head.append(line)
            elif line:
                samples.append(line)
    return b"".join(line + b"\n" for head, samples in families.values() for line in (*head, *samples))


class Siblings:
    """Answers the others over a socket in a folder that only this server's user can enter, and asks them."""

    def __init__(self, folder: Path, slot: int, own: Exposition, traces: Traces | None = None) -> None:
        self._folder = folder
        self._slot = slot
        self._own = own
        self._traces = traces or Traces()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Be there for the others."""
        path = self._path(self._slot)
        path.unlink(missing_ok=True)  # of the worker that had this place before
        self._server = await asyncio.start_unix_server(self._answer, path)

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
            self._path(self._slot).unlink(missing_ok=True)

    async def exposition(self) -> bytes:
        """Of all that answer in time."""
        others = await self._others(METRICS)
        return merged([labelled(await self._own(), self._slot), *others])

    async def traces_of(self, request_id: str, tenant: str) -> list[Trace]:
        """What the others that answer in time have kept of a request."""
        answers = await self._others(json.dumps([request_id, tenant]).encode())
        return [trace for answer in answers if answer for trace in decoded(answer)]

    async def _others(self, question: bytes) -> list[bytes]:
        slots = sorted(int(path.stem) for path in self._folder.glob("*.sock"))
        return await asyncio.gather(*(self._ask(slot, question) for slot in slots if slot != self._slot))

    def _path(self, slot: int) -> Path:
        return self._folder / f"{slot}.sock"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ANSWER_SECONDS):
                question = (await reader.readline()).strip()
            if question == METRICS:
                writer.write(labelled(await self._own(), self._slot))
            else:
                writer.write(encoded(self._traces.of(*json.loads(question))))
            await writer.drain()
        writer.close()

    async def _ask(self, slot: int, question: bytes) -> bytes:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path(slot))
                try:
                    writer.write(question + b"\n")
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""  # it is being replaced
