"""Files to Markdown. What is more than text is read by a process of its own, which may crash or hang."""

import asyncio
import contextlib
import json
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from common.errors import Unavailable
from knowledge_base.adapters.markdown_text import clean, first_heading
from knowledge_base.documents import ParsedDocument
from knowledge_base.files import Refused, decode_text, shown, suffix_of

_PLAIN = ("md", "markdown", "txt")
_HTML = ("html", "htm")
_MAX_HEADER = 64 * 1024
_START_SECONDS = 60
# glibc ends a process with it that has no memory left for a library's thread-local data.
_LOADER_OUT_OF_MEMORY = 127

_REASONS = {
    "memory": "needs more memory than a file may: split it, or save it in a simpler format",
    "nesting": "is nested too deeply to be read",
    "unreadable": "cannot be read; it may be damaged: open it, save it and add it again",
    "crash": "made the reader crash twice; it may be too large or damaged: split it, or open it and save it again",
}


class _Crashed(Exception):
    """The process ended in the middle of a file."""


class _OutOfMemory(Exception):
    """It ended because its memory did."""


class _Child:
    """One parser process and the way to talk to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, max_memory_bytes: int) -> "_Child":
        # The environment may hold secrets; the process that reads hostile files gets none of it.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(Path(__file__).parents[__name__.count(".")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            # Each thread of a numeric library would take address space from the limit.
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"{__package__}.parser_process", str(max_memory_bytes)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
        )
        child = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await child._receive(0)
        except (TimeoutError, _Crashed) as error:
            await child.kill()
            raise Unavailable("The reader for documents does not start; the installation may be incomplete.") from error
        except BaseException:
            await asyncio.shield(child.kill())
            raise
        return child

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def ask(self, header: dict[str, Any], body: bytes, max_answer: int) -> tuple[dict[str, Any], bytes]:
        """Send a file and wait for the answer; raises _Crashed."""
        sink = self.process.stdin
        if sink is None:
            raise _Crashed
        head = json.dumps(header | {"size": len(body)}).encode()
        try:
            sink.write(struct.pack(">I", len(head)) + head)
            sink.write(body)
            await sink.drain()
        except OSError as error:
            raise _Crashed from error
        return await self._receive(max_answer)

    async def _receive(self, max_size: int) -> tuple[dict[str, Any], bytes]:
        source = self.process.stdout
        if source is None:
            raise _Crashed
        try:
            length: int = struct.unpack(">I", await source.readexactly(4))[0]
            answer = json.loads(await source.readexactly(min(length, _MAX_HEADER)))
            return answer, await source.readexactly(min(answer["size"], max_size))
        except (OSError, asyncio.IncompleteReadError, ValueError, KeyError) as error:
            raise _Crashed from error

    async def kill(self) -> None:
        # Process.kill would reap a process that has just died, and asyncio would miss its end.
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        await self.process.wait()


class IsolatedParser:
    """Turns a checked file (see `check_file`) into Markdown text.

    Text is decoded here. Everything else goes to one of `workers` processes, started when first needed; a file that
    takes too long, needs too much memory or crashes its process is refused, and the next one gets a new process.
    """

    def __init__(
        self,
        timeout_seconds: float = 60,
        max_memory_bytes: int = 1_500_000_000,
        max_text_chars: int = 5_000_000,
        workers: int = 2,
    ) -> None:
        self._timeout = timeout_seconds
        self._max_memory = max_memory_bytes
        self._max_chars = max_text_chars
        self._free = asyncio.Semaphore(workers)
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._closed = False

    async def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Markdown text and title; raises Refused with the reason."""
        suffix = suffix_of(name)
        if suffix in _PLAIN:
            document = await asyncio.to_thread(_plain, name, data)
        else:
            if suffix in _HTML:
                data = decode_text(name, data).encode("utf-8", "replace")
            document = await self._isolated(name, suffix, data)
        if not document.text.strip():
            raise Refused(_without_text(name, suffix))
        if len(document.text) > self._max_chars:
            most = f"{self._max_chars:,}"
            raise Refused(f"{shown(name)} has {len(document.text):,} characters of text, more than {most}: split it")
        return document

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        children = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(child.kill() for child in children))

    async def _isolated(self, name: str, suffix: str, data: bytes) -> ParsedDocument:
        # A crash may be somebody else's fault (the system was out of memory): a second try, in a new process.
        for fresh in (False, True):
            try:
                async with self._child(fresh) as child, asyncio.timeout(self._timeout):
                    header = {"suffix": suffix, "timeout": int(self._timeout) + 5}
                    answer, body = await child.ask(header, data, 4 * self._max_chars + 4)
            except TimeoutError:
                raise Refused(f"{shown(name)} took longer than {self._timeout:g} seconds to read: split it") from None
            except _OutOfMemory:
                raise Refused(f"{shown(name)} {_REASONS['memory']}") from None
            except _Crashed:
                continue
            if reason := answer.get("error"):
                raise Refused(f"{shown(name)} {_REASONS.get(reason, _REASONS['unreadable'])}")
            return ParsedDocument(str(answer.get("title", "")), body.decode("utf-8", "replace"))
        raise Refused(f"{shown(name)} {_REASONS['crash']}")

    @asynccontextmanager
    async def _child(self, fresh: bool) -> AsyncIterator[_Child]:
        """A process for one file; it is kept only if the file went through to the end."""
        async with self._free:
            child = await self._take(fresh)
            self._busy.add(child)
            try:
                yield child
            except BaseException as error:
                await asyncio.shield(child.kill())
                if isinstance(error, _Crashed) and child.process.returncode == _LOADER_OUT_OF_MEMORY:
                    raise _OutOfMemory from error
                raise
            finally:
                self._busy.discard(child)
            self._idle.append(child)

    async def _take(self, fresh: bool) -> _Child:
        if self._closed:
            raise Unavailable("The reader for documents is closed.")
        while self._idle and not fresh:
            child = self._idle.pop()
            if child.alive:
                return child
        return await _Child.start(self._max_memory)


def _plain(name: str, data: bytes) -> ParsedDocument:
    text = clean(decode_text(name, data))
    return ParsedDocument(first_heading(text), text)


def _without_text(name: str, suffix: str) -> str:
    if suffix == "pdf":
        return f"{shown(name)} contains no text, only images: run text recognition (OCR) on it and add it again"
    return f"{shown(name)} contains no text"
