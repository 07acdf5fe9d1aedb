"""Going through the documents: in an order, page by page, and counted by their metadata."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidInput
from knowledge_base.documents import MetadataValue
from knowledge_base.filters import Field

Position = tuple[int, float, str, str]
"""Where a document stands in an order: kind of its value (none last), number, text, id."""
SORT_CHARS = 100
"""Characters of a text that count for the order, so that a cursor stays short."""


@dataclass(frozen=True)
class Sort:
    """An order of documents; the id breaks ties."""

    field: Field
    descending: bool = False


BY_ID = Sort(Field("document_id", own=True))


def position_from(value: Sequence[Any]) -> Position:
    """A position as a cursor had it. Raises InvalidInput."""
    try:
        rank, number, text, document_id = value
        if type(text) is type(document_id) is str:
            return int(rank), float(number), text, document_id
    except (TypeError, ValueError):
        pass
    raise InvalidInput("The cursor is damaged.", "Call without a cursor to start from the first page.")


@dataclass(frozen=True)
class Facet:
    """The values of a metadata key, the most frequent first, each with the number of documents that have it."""

    field: str
    documents: int
    values: list[tuple[MetadataValue, int]]
    distinct: int
    """How many different values there are."""
    others: int
    """Sum of the counts that are not shown; a document with a list counts once for each element."""


@dataclass(frozen=True)
class Facets:
    """How many documents there are, and what their metadata says."""

    documents: int
    fields: list[Facet]
