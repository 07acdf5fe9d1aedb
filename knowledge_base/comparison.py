"""What changed between two versions, for a person to read."""

import difflib
import itertools
from dataclasses import dataclass

from knowledge_base.documents import MetadataValue, Version

CONTEXT = 2
"""Unchanged lines around a change."""
MAX_LINES = 2_000
MAX_COMPARED = 20_000
"""Lines of each text that are compared: the time grows with their square at worst."""


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


def compare(old: Version, before: str, new: Version, after: str) -> Comparison:
    """Lines that are only in one of the texts, with a little of what is around them."""
    first, second = (text.splitlines()[:MAX_COMPARED] for text in (before, after))
    names = (f"version {old.version}", f"version {new.version}")
    diff = difflib.unified_diff(first, second, *names, n=CONTEXT, lineterm="")
    lines = list(itertools.islice(diff, MAX_LINES + 1))
    changed = {
        key: (old.metadata.get(key), new.metadata.get(key))
        for key in sorted({*old.metadata, *new.metadata})
        if old.metadata.get(key) != new.metadata.get(key)
    }
    return Comparison(
        old=old,
        new=new,
        diff="\n".join(lines[:MAX_LINES]),
        added=sum(line.startswith("+") and not line.startswith("+++") for line in lines),
        removed=sum(line.startswith("-") and not line.startswith("---") for line in lines),
        metadata=changed,
        truncated=len(lines) > MAX_LINES,
    )
