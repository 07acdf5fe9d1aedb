"""Cuts Markdown into passages along its structure: sections, then blocks, then sentences, then words."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from os.path import commonprefix
from typing import NamedTuple

from knowledge_base.documents import Chunk

# A run of more than 20 characters counts as several words, so that text without spaces is cut as well.
_WORD = re.compile(r"\S{1,20}")
_CHARS_PER_WORD = 24
_TINY = 5
"""A section below a fifth of the limit joins its neighbour."""
_MAX_TITLE = 120

_BY_LINE = ("code", "table", "front")
_LINE_END = re.compile(r"\n")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]{0,3}\s+|[。！？]")

# Linear on any input: spaces are possessive (`*+`), and no line of a block can be matched in two ways. Groups are not
# possessive, since Python before 3.11.5 gets that wrong.
_STARTS_BLOCK = r"[ \t]*+(?:\n|\Z|`{3}|~{3}|\||(?:[-*+]|\d{1,9}[.)])[ \t]+\S|\#{1,6}[ \t]+\S)"
_BLOCK = re.compile(
    rf"""^(?:
      (?P<front>\A---\n(?:(?!---[ \t]*$)(?:[\w-]+:|[ \t\#]|-(?![\w-]*:))[^\n]*\n)*---[ \t]*$)
    | (?P<code>[ \t]*+(?P<fence>`{{3,}}+(?=[^`\n]*$)|~{{3,}}+)[^\n]*
        (?:\n(?![ \t]*+(?P=fence)[`~]*[ \t]*$)[^\n]*)* (?:\n[^\n]*)?)
    | (?P<atx>\ {{0,3}}(?P<marks>\#{{1,6}})[ \t]+(?P<title>\S[^\n]{{0,999}})$)
    | (?P<table>[ \t]*+\|[^\n]*(?:\n[ \t]*+\|[^\n]*)*)
    | (?P<item>[ \t]*+(?:[-*+]|\d{{1,9}}[.)])[ \t]+\S[^\n]*(?:\n(?!{_STARTS_BLOCK})[^\n]+)*)
    | (?P<setext>\ {{0,3}}(?P<words>\S[^\n]{{0,239}})\n\ {{0,3}}(?P<line>=|--)[=-]*[ \t]*$)
    | (?P<text>(?=[^\n]*\S)[^\n]+(?:\n(?!{_STARTS_BLOCK})[^\n]+)*)
    )""",
    re.MULTILINE | re.VERBOSE,
)

Path = tuple[str, ...]


class _Span(NamedTuple):
    """A piece of the text, its size, and the headings above it; `bare` is nothing but headings."""

    start: int
    end: int
    words: int
    kind: str
    path: Path
    bare: bool = False


def chunk(text: str, max_words: int = 220) -> list[Chunk]:
    """Passages in order that hold every non-space character once, none above `max_words`.

    Headings, paragraphs, list items, tables and fenced code stay whole where they fit, small ones of a section share
    a passage. A run of non-space characters counts as one word for each 20 characters begun. Linear time.
    """
    passages = _join_tiny(_pack(text, _blocks(text), max_words), max_words)
    return [_passage(text, number, span) for number, span in enumerate(passages)]


def embedding_text(title: str, chunk: Chunk) -> str:
    """What is embedded and full-text indexed for a chunk: title, section and text.

    The title prefix was measured on Cranfield to be worth .02 nDCG@10 of the vector leg.
    """
    section = chunk.section.removeprefix(title).removeprefix(" > ") if title else chunk.section
    return "\n".join(part for part in (title, section, chunk.text) if part)


def _passage(text: str, number: int, span: _Span) -> Chunk:
    passage = text[span.start : span.end].rstrip()
    return Chunk(number, " > ".join(span.path), passage, span.start, span.start + len(passage))


def _blocks(text: str) -> Iterator[_Span]:
    headings: list[tuple[int, str]] = []
    path: Path = ()
    for match in _BLOCK.finditer(text):
        kind = match.lastgroup or "text"
        start, end = match.span()
        is_heading = kind in ("atx", "setext")
        if is_heading:
            _enter(headings, match)
            path = tuple(title for _, title in headings)
        yield _Span(start, end, len(_WORD.findall(text, start, end)), kind, path, is_heading)


def _enter(headings: list[tuple[int, str]], match: re.Match[str]) -> None:
    """Replace the headings that a new one ends."""
    level = len(match["marks"]) if match["marks"] else 1 if match["line"] == "=" else 2
    title = match["title"].rstrip("# \t") if match["marks"] else match["words"]
    while headings and headings[-1][0] >= level:
        headings.pop()
    headings.append((level, " ".join(title[:_MAX_TITLE].split())))


def _pack(text: str, blocks: Iterable[_Span], limit: int) -> Iterator[_Span]:
    """Fill passages with the blocks of one section; a heading starts a new one."""
    pending: _Span | None = None
    for block in blocks:
        for part in _parts(text, block, pending, limit):
            if pending:
                if not (part.bare and part.start == block.start) and _fit(pending, part, limit):
                    bare = pending.bare and part.bare
                    pending = _Span(pending.start, part.end, pending.words + part.words, "", pending.path, bare)
                    continue
                yield pending
            pending = part
    if pending:
        yield pending


def _parts(text: str, block: _Span, pending: _Span | None, limit: int) -> Iterable[_Span]:
    """The block itself, or its pieces if it is too long, or if it would leave a heading alone."""
    room = limit - pending.words if pending and not block.bare else 0
    orphans_heading = block.words > room > 0 and pending and pending.bare and block.kind not in _BY_LINE
    too_long = block.words > limit or block.end - block.start > limit * _CHARS_PER_WORD
    return _pieces(text, block, room, limit) if too_long or orphans_heading else (block,)


def _pieces(text: str, block: _Span, room: int, limit: int) -> Iterator[_Span]:
    """Cut at line ends (code, tables) or sentence ends, at a word only where there is none within the limit.

    The first piece fits into `room` words if there is a line or sentence end within it.
    """
    words = array("q", (match.start() for match in _WORD.finditer(text, block.start, block.end)))
    breaks = _LINE_END if block.kind in _BY_LINE else _SENTENCE_END
    first, start = 0, block.start
    while first < len(words):
        stop, end = _window(words, first, limit, block.end)
        if first == 0 and 0 < room < stop:
            short_stop, short_end = _window(words, 0, room, block.end)
            if _last_break(breaks, text, start, short_end):
                stop, end = short_stop, short_end
        if stop < len(words) and (cut := _last_break(breaks, text, start, end)):
            stop, end = bisect_right(words, cut - 1), cut
        yield _Span(start, end, stop - first, block.kind, block.path, block.bare)
        if end < block.end and not text[end].isspace() and (stop == len(words) or words[stop] != end):
            # The cut is inside a word (a sentence without spaces): the rest of it is the next piece's first word.
            stop -= 1
            words[stop] = end
        first, start = stop, end


def _window(words: "array[int]", first: int, limit: int, block_end: int) -> tuple[int, int]:
    """Number of the word after at most `limit` words, and where it starts."""
    stop = min(first + limit, bisect_right(words, words[first] + limit * _CHARS_PER_WORD - 20), len(words))
    stop = max(stop, first + 1)
    return stop, words[stop] if stop < len(words) else block_end


def _last_break(breaks: re.Pattern[str], text: str, start: int, end: int) -> int:
    """End of the last line or sentence that ends between the two, 0 if none does."""
    last = 0
    for match in breaks.finditer(text, start, end):
        last = match.end()
    return last


def _join_tiny(spans: Iterable[_Span], limit: int) -> Iterator[_Span]:
    """Join a small section with its next sibling or first child; a lone heading too."""
    pending: _Span | None = None
    for span in spans:
        if pending:
            if _belongs(pending, span, limit) and _fit(pending, span, limit):
                pending = _join(pending, span)
                continue
            yield pending
        pending = span
    if pending:
        yield pending


def _belongs(tiny: _Span, following: _Span, limit: int) -> bool:
    is_small = tiny.bare or tiny.words < limit // _TINY
    return is_small and following.path[:-1] in (tiny.path, tiny.path[:-1])


def _join(a: _Span, b: _Span) -> _Span:
    path = b.path if a.bare else tuple(commonprefix([a.path, b.path])) or a.path or b.path
    return _Span(a.start, b.end, a.words + b.words, "", path, a.bare and b.bare)


def _fit(a: _Span, b: _Span, limit: int) -> bool:
    return a.words + b.words <= limit and b.end - a.start <= limit * _CHARS_PER_WORD
