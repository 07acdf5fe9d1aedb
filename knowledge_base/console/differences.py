"""A unified diff as rows of a table, with the words that changed marked."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
MAX_WORDS = 300
"""A longer line is marked as a whole: the time grows with the square."""
MAX_WORK = 500_000
"""Of one page, in pairs of words. Lines beyond that are marked as a whole."""
SIMILAR = 0.3
"""Lines that have less in common are not compared by words."""
Piece = tuple[str, bool]


@dataclass(frozen=True)
class Row:
    """A line: `same`, `removed`, `added`, or a `gap` in which nothing changed."""

    kind: str
    old: int | None = None
    new: int | None = None
    pieces: Sequence[Piece] = ()


def rows(diff: str) -> list[Row]:
    """The diff for reading."""
    found: list[Row] = []
    removed: list[Row] = []
    added: list[Row] = []
    marker = _Marker()
    for row in _rows(diff):
        if row.kind == "removed" and not added:
            removed.append(row)
        elif row.kind == "added":
            added.append(row)
        else:
            found += _paired(removed, added, marker)
            removed, added = ([row], []) if row.kind == "removed" else ([], [])
            found += [] if row.kind == "removed" else [row]
    return found + _paired(removed, added, marker)


def _rows(diff: str) -> Iterator[Row]:
    old = new = 0
    for line in diff.splitlines()[2:]:
        hunk = _HUNK.fullmatch(line)
        if hunk:
            old, new = int(hunk[1]), int(hunk[2])
            yield Row("gap", old, new)
        elif line.startswith("-"):
            yield Row("removed", old, None, [(line[1:], False)])
            old += 1
        elif line.startswith("+"):
            yield Row("added", None, new, [(line[1:], False)])
            new += 1
        else:
            yield Row("same", old, new, [(line[1:], False)])
            old, new = old + 1, new + 1


def _paired(removed: Sequence[Row], added: Sequence[Row], marker: "_Marker") -> list[Row]:
    """Each removed line beside the one that came in its place, if there are as many."""
    if len(removed) != len(added):
        return [*removed, *added]
    pairs = [marker.marked(old, new) for old, new in zip(removed, added, strict=True)]
    return [old for old, _ in pairs] + [new for _, new in pairs]


class _Marker:
    """Marks the words that changed, as long as there is not too much to do."""

    def __init__(self) -> None:
        self._left = MAX_WORK

    def marked(self, old: Row, new: Row) -> tuple[Row, Row]:
        """A line, and the one that came in its place."""
        before, after = (_WORDS.findall(row.pieces[0][0]) for row in (old, new))
        if max(len(before), len(after)) > MAX_WORDS or len(before) * len(after) > self._left:
            return old, new
        self._left -= len(before) * len(after)
        return _marked(old, before, new, after)


def _marked(old: Row, before: list[str], new: Row, after: list[str]) -> tuple[Row, Row]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < SIMILAR:
        return old, new
    left: list[Piece] = []
    right: list[Piece] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        left += [("".join(before[a:b]), tag != "equal")] if b > a else []
        right += [("".join(after[c:d]), tag != "equal")] if d > c else []
    return Row("removed", old.old, None, left), Row("added", None, new.new, right)
