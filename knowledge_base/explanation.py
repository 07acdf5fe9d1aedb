"""Why an answer stands where it stands: its place in each list, and the time of each step."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowledge_base.documents import Hit
from knowledge_base.ranking import best_chunks

if TYPE_CHECKING:
    from knowledge_base.search import SearchItem

Steps = dict[str, float]
"""Milliseconds of each step; those of the two lists overlap."""


@dataclass(frozen=True)
class Place:
    """Where one list had the document; the score's scale is the list's own."""

    rank: int
    score: float


@dataclass(frozen=True)
class Explained:
    """An answer, and its place in each list that had it."""

    item: "SearchItem"
    places: Mapping[str, Place]


@dataclass(frozen=True)
class Explanation:
    """The first answers of a search; `found` says how many documents each list had."""

    items: Sequence[Explained]
    found: Mapping[str, int]
    documents: int
    steps: Steps


@contextmanager
def timed(steps: Steps, name: str) -> Iterator[None]:
    """Note how long a step takes."""
    started = time.perf_counter()
    try:
        yield
    finally:
        steps[name] = (time.perf_counter() - started) * 1000


def places(lists: Mapping[str, Sequence[Hit]]) -> dict[str, dict[str, Place]]:
    """Document -> list -> place, counted in documents."""
    found: dict[str, dict[str, Place]] = {}
    for name, hits in lists.items():
        for rank, hit in enumerate(best_chunks(hits), start=1):
            found.setdefault(hit.document_id, {})[name] = Place(rank, hit.score)
    return found
