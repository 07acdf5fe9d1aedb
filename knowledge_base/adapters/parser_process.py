"""The process that hostile files meet: markitdown, without network, without files to write, with little memory.

Started by `IsolatedParser`. A message is the length of a JSON header (4 bytes, big endian), the header, and `size`
bytes of body. An empty message says that it is ready; then a file comes in, Markdown text or the name of an error goes
out. It ends when its input ends.
"""

import contextlib
import json
import os
import re
import struct
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO
from xml.etree import ElementTree

from knowledge_base.adapters.markdown_text import clean, first_heading, one_line
from knowledge_base.adapters.workbook_text import workbook_text

# Written by programs, not by people.
_NO_TITLES = ("powerpoint presentation", "presentation", "untitled", "document")
_BOILERPLATE = ("script", "style", "nav", "footer", "noscript", "template", "svg", "iframe", "object", "embed")
_BLOCKED = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "ctypes.")
_STYLE_MAP = "p[style-name='Title'] => h1:fresh"
_SLIDE = re.compile(r"<!-- Slide number: \d+ -->\n?")
_OPEN_FILES = 64
_MAX_HEADER = 64 * 1024
_RESERVE = 16 * 1024 * 1024

Parse = Callable[[str, bytes], tuple[str, str]]


def main() -> None:
    """Answer requests until the input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a library prints must not get between the messages.
    os.dup2(2, 1)
    max_memory = int(sys.argv[1])
    _limit_memory(max_memory)
    parse = load_parser()
    _lock_down()
    _write(sink, {}, b"")
    while request := _read(source):
        header, body = request
        _end_after(header["timeout"])
        answer, text = _answer(parse, header["suffix"], body, bytearray(_RESERVE))
        _end_after(0)
        _write(sink, answer, text)
        if answer.get("error") == "memory":
            break


def _answer(parse: Parse, suffix: str, data: bytes, reserve: bytearray) -> tuple[dict[str, str], bytes]:
    try:
        title, text = parse(suffix, data)
        return {"title": title}, text.encode("utf-8", "replace")
    except Exception as error:
        # What filled the memory lives as long as the traceback does, and the answer needs some, too.
        reserve.clear()
        causes = {type(error)} | {attempt.exc_info[0] for attempt in getattr(error, "attempts", None) or []}
        if MemoryError in causes:
            return {"error": "memory"}, b""
        if RecursionError in causes:
            return {"error": "nesting"}, b""
        return {"error": "unreadable", "detail": ", ".join(sorted(cause.__name__ for cause in causes))}, b""


def load_parser() -> Parse:
    """Import markitdown with the converters that are needed, and no other."""
    from markitdown import MarkItDown, StreamInfo
    from markitdown.converters import DocxConverter, HtmlConverter, PdfConverter, PptxConverter

    # The other built-in converters unpack archives, call out to the network or start programs.
    engine = MarkItDown(enable_builtins=False, enable_plugins=False)
    kinds: tuple[Callable[[], Any], ...] = (HtmlConverter, DocxConverter, PptxConverter, PdfConverter)
    for kind in kinds:
        engine.register_converter(kind())

    def parse(suffix: str, data: bytes) -> tuple[str, str]:
        if suffix == "xlsx":
            return _worthy(_office_title(data)), clean(workbook_text(data))
        if suffix in ("html", "htm"):
            data = _without_boilerplate(data)
            info = StreamInfo(extension=".html", mimetype="text/html", charset="utf-8")
        else:
            info = StreamInfo(extension=f".{suffix}")
        result = engine.convert_stream(BytesIO(data), stream_info=info, style_map=_STYLE_MAP)
        markdown = clean(_SLIDE.sub("", result.markdown) if suffix == "pptx" else result.markdown)
        return _title(suffix, data, result.title, markdown), markdown

    return parse


def _without_boilerplate(data: bytes) -> bytes:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(data, "html.parser", from_encoding="utf-8")
    for element in soup(_BOILERPLATE):
        element.decompose()
    return soup.encode("utf-8")


def _title(suffix: str, data: bytes, found: str | None, markdown: str) -> str:
    named = {"pdf": _pdf_title, "docx": _office_title, "pptx": _office_title}.get(suffix)
    if title := _worthy(named(data) if named else found or ""):
        return title
    return one_line(markdown.lstrip().split("\n", 1)[0]) if suffix == "pdf" else first_heading(markdown)


def _worthy(title: str) -> str:
    title = one_line(title).removeprefix("Microsoft Word - ")
    return "" if title.lower() in _NO_TITLES else title


def _pdf_title(data: bytes) -> str:
    import pdfplumber

    # Damaged metadata is no reason to lose the text.
    with contextlib.suppress(Exception), pdfplumber.open(BytesIO(data)) as pdf:
        return str(pdf.metadata.get("Title") or "")
    return ""


def _office_title(data: bytes) -> str:
    import zipfile

    with contextlib.suppress(KeyError, ElementTree.ParseError), zipfile.ZipFile(BytesIO(data)) as archive:
        core = ElementTree.fromstring(archive.read("docProps/core.xml"))  # noqa: S314 - DTDs were refused before
        return core.findtext("{http://purl.org/dc/elements/1.1/}title") or ""
    return ""


def _limit_memory(max_bytes: int) -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _lock_down() -> None:
    """No file can be written, and a library that opens a connection or starts a program fails."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))

    def audit(event: str, _: tuple[Any, ...]) -> None:
        if event.startswith(_BLOCKED):
            raise PermissionError(f"{event} is not allowed in the parser")

    sys.addaudithook(audit)


def _end_after(seconds: int) -> None:
    """Let the system end this process if the parent did not: nobody waits for it any more."""
    if sys.platform != "win32":
        import signal

        signal.alarm(seconds)


def _read(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    prefix = source.read(4)
    if len(prefix) < 4:
        return None
    header = json.loads(source.read(min(struct.unpack(">I", prefix)[0], _MAX_HEADER)))
    return header, source.read(header["size"])


def _write(sink: BinaryIO, header: dict[str, str], body: bytes) -> None:
    head = json.dumps(header | {"size": len(body)}).encode()
    sink.write(struct.pack(">I", len(head)) + head + body)
    sink.flush()


if __name__ == "__main__":
    main()
