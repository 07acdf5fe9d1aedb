"""Writes SOQL and SOSL so that nothing a caller gives can become a part of them.

SOQL and SOSL Reference: "Quoted String Escape Sequences", "FIND {SearchQuery}" (reserved characters).
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from support_hub.ports import TicketQuery

_SOQL = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_RESERVED = re.compile(r"""([?&|!{}\[\]()^~*:\\"'+\-])""")
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
LEAST = 2
"""Characters of a word that can be searched for."""


def literal(value: str) -> str:
    """A string of SOQL. What no text has is left out."""
    return "'" + "".join(_SOQL.get(char, char if char.isprintable() else " ") for char in value) + "'"


def listed(values: Iterable[str]) -> str:
    """For IN."""
    return "(" + ", ".join(map(literal, values)) + ")"


def is_id(text: str) -> bool:
    """15 or 18 letters and digits; anything else is no record's id."""
    return _ID.fullmatch(text) is not None


def time(moment: datetime) -> str:
    """2026-10-20T08:00:00.000Z, unquoted as SOQL wants it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def find(text: str) -> str | None:
    """FIND's braces with all words, each a phrase; None if no word is long enough."""
    words = ["".join(char for char in word if char.isprintable()) for word in text.split()]
    phrases = ['"' + _RESERVED.sub(r"\\\1", word) + '"' for word in words if len(re.sub(r"\W", "", word)) >= LEAST]
    return "{" + " AND ".join(phrases) + "}" if phrases else None


def select(kind: str, fields: str, where: str, order: str = "", limit: int | None = None) -> str:
    """A query. Values in `where` are literals of this module."""
    parts = ["SELECT", fields, "FROM", kind, where and f"WHERE {where}", order and f"ORDER BY {order}"]
    return " ".join(filter(None, [*parts, f"LIMIT {limit}" if limit else ""]))


def condition(query: TicketQuery, statuses: Iterable[str], until: datetime | None) -> str:
    """What follows WHERE, or nothing."""
    parts = []
    if query.statuses:
        parts.append(f"Status IN {listed(sorted(statuses))}")
    if query.priorities:
        parts.append(f"Priority IN {listed(sorted({PRIORITIES[each] for each in query.priorities}))}")
    if query.requester:
        email = literal(query.requester)
        parts.append(f"(Contact.Email = {email} OR SuppliedEmail = {email})")
    if query.created_since:
        parts.append(f"CreatedDate >= {time(query.created_since)}")
    if query.updated_since:
        parts.append(f"LastModifiedDate >= {time(query.updated_since)}")
    if until:
        parts.append(f"LastModifiedDate <= {time(until)}")
    return " AND ".join(parts)


PRIORITIES = {"low": "Low", "normal": "Medium", "high": "High", "urgent": "High"}
