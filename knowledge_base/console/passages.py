"""A document as lines of a page: headings, tables and code told apart, and one passage marked. All of it is text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from common.security.untrusted import untrusted

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])[ \t]+\S")
Piece = tuple[str, bool]
"""Text, and whether it belongs to the marked passage."""


@dataclass(frozen=True)
class Line:
    """A line of the text; a table row has one list of pieces for each cell."""

    kind: str
    """`h2` to `h6`, `item`, `row`, `code`, `text`."""
    cells: list[list[Piece]]

    @property
    def pieces(self) -> list[Piece]:
        return self.cells[0]


@dataclass(frozen=True)
class Block:
    """Lines of one kind that stand together."""

    kind: str
    lines: list[Line]


def blocks(text: str, start: int = 0, end: int = 0) -> list[Block]:
    """The text for reading, with characters `start` to `end` marked. Nothing in it is taken for markup."""
    found = groupby(_lines(text, start, end), key=lambda line: line.kind if line else "")
    return [Block(kind, [line for line in lines if line]) for kind, lines in found if kind]


def _lines(text: str, start: int, end: int) -> Iterator[Line | None]:
    at, fence = 0, ""
    for line in text.splitlines(keepends=True):
        span, at = (at, at + len(line)), at + len(line)
        plain = line.rstrip("\r\n")
        mark = _FENCE.match(plain)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
            continue
        if fence:
            yield Line("code", [_pieces(plain, span[0], start, end)])
        elif not plain.strip():
            yield None
        else:
            yield from _line(plain, span[0], start, end)


def _line(line: str, at: int, start: int, end: int) -> Iterator[Line]:
    heading = _HEADING.fullmatch(line)
    if heading:
        # The page's own title is the first level.
        level = min(len(heading[1]) + 1, 6)
        yield Line(f"h{level}", [_pieces(heading[2], at + heading.start(2), start, end)])
    elif line.lstrip().startswith("|"):
        # The rule below a table's heading. A pattern for it would be slow on a line that is nearly one.
        if "-" not in line or line.strip(" \t:|-"):
            yield Line("row", list(_cells(line, at, start, end)))
    else:
        yield Line("item" if _ITEM.match(line) else "text", [_pieces(line, at, start, end)])


def _cells(line: str, at: int, start: int, end: int) -> Iterator[list[Piece]]:
    length = len(line.rstrip())
    for match in re.finditer(r"\|((?:\\\||[^|])*)", line):
        if match.end() < length or match[1].strip():
            yield _pieces(match[1], at + match.start(1), start, end)


def _pieces(text: str, at: int, start: int, end: int) -> list[Piece]:
    """Cut where the passage begins and ends; `at` is where the text stands in the document."""
    first, last = max(start - at, 0), min(end - at, len(text))
    if first >= last:
        return [(_clean(text), False)]
    cut = [(text[:first], False), (text[first:last], True), (text[last:], False)]
    return [(_clean(part), marked) for part, marked in cut if part]


def _clean(text: str) -> str:
    return untrusted(text, len(text)).text
