"""The part of a passage that shows why it was found, with the words of the question marked."""

import re
from functools import lru_cache

import snowballstemmer

WIDTH = 320
"""Characters."""
_NOT_INDEXED = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with".split()
)
_WORD = re.compile(r"\w+")
_SAME_BEGINNING = 2
"""Letters that a word shares with its stem, so that most words need not be stemmed at all."""


def snippet(text: str, query: str, width: int = WIDTH) -> str:
    """The window of about `width` characters with the most different words of the query, cut at word ends.

    Words count as the index counts them, by their English stem, and stand between two asterisks. A passage that has
    none of them, as a vector search finds it, is shown from its beginning.
    """
    flat = " ".join(text.split())
    found = _found(flat, query)
    start = _best_start([(at.start(), stem) for at, stem in found], width, len(flat))
    end = min(len(flat), start + width)
    start = flat.find(" ", start) + 1 if start else 0
    end = flat.rfind(" ", start, end) if end < len(flat) else end
    shown = _marked(flat, start, end, [at for at, _ in found])
    return f"{'… ' if start else ''}{shown}{' …' if end < len(flat) else ''}"


def _found(text: str, query: str) -> list[tuple[re.Match[str], str]]:
    """The words of the text whose stem is one of the query's, with it."""
    wanted = {_stem(word) for word in _WORD.findall(query.lower()) if word not in _NOT_INDEXED}
    beginnings = {stem[:_SAME_BEGINNING] for stem in wanted}
    words = ((at, at.group().lower()) for at in _WORD.finditer(text))
    likely = ((at, _stem(word)) for at, word in words if word[:_SAME_BEGINNING] in beginnings)
    return [(at, stem) for at, stem in likely if stem in wanted]


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    return str(snowballstemmer.stemmer("english").stemWord(word))


def _marked(text: str, start: int, end: int, found: list[re.Match[str]]) -> str:
    parts, done = [], start
    for at in found:
        if start <= at.start() and at.end() <= end:
            parts += [text[done : at.start()], "**", at.group(), "**"]
            done = at.end()
    # Neighbours share their marks.
    return "".join([*parts, text[done:end]]).replace("** **", " ")


def _best_start(found: list[tuple[int, str]], width: int, length: int) -> int:
    if length <= width:
        return 0
    best, best_count, first = 0, 0, 0
    inside: dict[str, int] = {}
    for position, word in found:
        inside[word] = inside.get(word, 0) + 1
        while position - found[first][0] > width * 0.8:
            gone = found[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        if len(inside) > best_count:
            best, best_count = found[first][0], len(inside)
    return max(0, min(best - width // 10, length - width))
