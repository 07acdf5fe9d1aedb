"""Pages of a search: a cursor names the moment of the first page and the documents that were shown."""

import base64
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidInput
from common.paging import decode_cursor, encode_cursor

_MARK_BYTES = 5


@dataclass(frozen=True)
class Shown:
    """What earlier pages showed. Ranks may change between two pages, so an offset would not do."""

    at: float
    """Of the first page, in seconds since 1970."""
    marks: frozenset[bytes] = frozenset()

    def __contains__(self, document_id: object) -> bool:
        return bool(self.marks) and _mark(str(document_id)) in self.marks

    def cursor(self, document_ids: Sequence[str], question: Any) -> str:
        """The cursor behind a page that shows these documents, too."""
        marks = self.marks | {_mark(document_id) for document_id in document_ids}
        return encode_cursor([self.at, base64.b64encode(b"".join(sorted(marks))).decode()], question)


def shown_before(cursor: str | None, question: Any) -> Shown:
    """What the pages before showed. Raises InvalidInput."""
    if cursor is None:
        return Shown(time.time())
    position = decode_cursor(cursor, question, list)
    try:
        at, marks = float(position[0]), base64.b64decode(position[1])
    except (IndexError, TypeError, ValueError):
        raise InvalidInput("The cursor is damaged.", "Call without a cursor to start from the first page.") from None
    return Shown(at, frozenset(marks[i : i + _MARK_BYTES] for i in range(0, len(marks), _MARK_BYTES)))


def _mark(document_id: str) -> bytes:
    # Forty bits: two of a hundred documents share one once in 200 million questions.
    return hashlib.sha256(document_id.encode()).digest()[:_MARK_BYTES]
