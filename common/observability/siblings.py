"""Workers of one server know each other's metrics, so that whichever is asked answers for all of them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

ANSWER_SECONDS = 1.0
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

    def __init__(self, folder: Path, slot: int, own: Exposition) -> None:
        self._folder = folder
        self._slot = slot
        self._own = own
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
        slots = sorted(int(path.stem) for path in self._folder.glob("*.sock"))
        others = await asyncio.gather(*(self._ask(slot) for slot in slots if slot != self._slot))
        return merged([labelled(await self._own(), self._slot), *others])

    def _path(self, slot: int) -> Path:
        return self._folder / f"{slot}.sock"

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(labelled(await self._own(), self._slot))
            await writer.drain()
        writer.close()

    async def _ask(self, slot: int) -> bytes:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path(slot))
                try:
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""  # it is being replaced
