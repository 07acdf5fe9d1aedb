"""What changed between two versions, for a person to read."""

import difflib
import itertools
import re
from dataclasses import dataclass
from os.path import commonprefix

from knowledge_base.documents import MetadataValue, Version

CONTEXT = 2
"""Unchanged lines around a change."""
MAX_LINES = 2_000
MAX_COMPARED = 2_000
"""Lines of each text that are compared, from the first change on: the time grows with their square at worst."""
_HUNK = re.compile(r"\A@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@")


@dataclass(frozen=True)
class Comparison:
    """A unified diff of the texts, and the metadata that changed as (before, after)."""

    old: Version
    new: Version
    diff: str
    added: int
    removed: int
    metadata: dict[str, tuple[MetadataValue | None, MetadataValue | None]]
    truncated: bool
    too_long: bool
    """Between the first and the last change are more lines than are compared."""


def compare(old: Version, before: str, new: Version, after: str) -> Comparison:
    """Lines that are only in one of the texts, with a little of what is around them. It may take a second or two."""
    first, second, start = _between(before.splitlines(), after.splitlines())
    names = (f"version {old.version}", f"version {new.version}")
    diff = difflib.unified_diff(first[:MAX_COMPARED], second[:MAX_COMPARED], *names, n=CONTEXT, lineterm="")
    lines = [_moved(line, start) for line in itertools.islice(diff, MAX_LINES + 1)]
    changed = {
        key: (old.metadata.get(key), new.metadata.get(key))
        for key in sorted({*old.metadata, *new.metadata})
        if old.metadata.get(key) != new.metadata.get(key)
    }
    return Comparison(
        old=old,
        new=new,
        diff="\n".join(lines[:MAX_LINES]),
        added=sum(line.startswith("+") for line in lines[2:]),
        removed=sum(line.startswith("-") for line in lines[2:]),
        metadata=changed,
        truncated=len(lines) > MAX_LINES,
        too_long=max(len(first), len(second)) > MAX_COMPARED,
    )


def _between(first: list[str], second: list[str]) -> tuple[list[str], list[str], int]:
    """Both without the lines that they begin and end with, but for the context; and how many went at the beginning."""
    start = max(len(commonprefix([first, second])) - CONTEXT, 0)
    first, second = first[start:], second[start:]
    inside = min(len(first), len(second)) - CONTEXT  # a line that belongs to the beginning is none of the end
    same = commonprefix([first[::-1], second[::-1]])[: max(inside, 0)]
    end = max(len(same) - CONTEXT, 0)
    return first[: len(first) - end], second[: len(second) - end], start


def _moved(line: str, by: int) -> str:
    """The line of a diff; the head of a hunk counts from the beginning of the whole text."""
    return _HUNK.sub(lambda found: f"@@ -{int(found[1]) + by}{found[2]} +{int(found[3]) + by}{found[4]} @@", line)
