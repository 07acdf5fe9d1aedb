"""A restriction as a filter of Pinecone, which is applied before anything is ranked.

Pinecone compares numbers, not text, and has no `not`. So a value is a term of one list (`facts`), text that ranges may
ask for is a few numbers besides, and `not` is pushed down to the comparisons. No comparison meets a missing field where
that would matter: what Pinecone says then is not written down.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from common.errors import InvalidInput
from common.security.access import AccessScope
from knowledge_base.documents import Metadata
from knowledge_base.filters import (
    All,
    AnyOf,
    Bound,
    Exists,
    FactKind,
    Field,
    Filter,
    Not,
    OneOf,
    Range,
    Restriction,
    Value,
    facts_of,
    kind_of,
)

Clause = dict[str, Any]
SHAPE = 1
"""Of the records. An index of another one has to be filled anew."""
EVERYTHING: Clause = {"shape": {"$eq": SHAPE}}
NOTHING: Clause = {"shape": {"$eq": 0}}
STILL = 1e18
"""`superseded_at` of a version that nothing has superseded."""
OWN = {"document_id": "document_id", "title": "title", "published_at": "published_at", "classification": "level"}
OPPOSITE: dict[Bound, Bound] = {"gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt"}
_PIECE, _PIECES = 6, 5
"""Bytes of a text that one number has, and how many numbers there are."""
MAX_BOUND = _PIECE * _PIECES - 1
"""Bytes of a text that a range may have as its bound; a time with its zone has 25."""


def where(restriction: Restriction) -> Clause:
    """All of a restriction."""
    access = [access_filter(scope) for scope in restriction.scopes]
    metadata = [metadata_filter(restriction.where)] if restriction.where else []
    return {"$and": [*access, time_filter(restriction.as_of), *metadata]}


def access_filter(scope: AccessScope) -> Clause:
    """The access rule."""
    return {"$and": [tenant_filter(scope), clearance_filter(scope), readers_filter(scope)]}


def tenant_filter(scope: AccessScope) -> Clause:
    """Chunks of the caller's tenant."""
    return {"tenant": {"$eq": scope.tenant}}


def clearance_filter(scope: AccessScope) -> Clause:
    """Chunks that the caller is cleared for."""
    return {"level": {"$lte": scope.level}}


def readers_filter(scope: AccessScope) -> Clause:
    """Chunks that name nobody, a group of the caller, or the caller."""
    return {"readers": {"$in": scope.labels}}


def time_filter(as_of: float | None) -> Clause:
    """Versions that count now, or that did at a time."""
    if as_of is None:
        return {"superseded_at": {"$eq": STILL}}
    return {"$and": [{"published_at": {"$lte": as_of}}, {"superseded_at": {"$gt": as_of}}]}


def metadata_filter(condition: Filter, holds: bool = True) -> Clause:
    """A filter, or what holds if it does not. Raises InvalidInput for a bound of a range that is too long."""
    match condition:
        case All(parts):
            return _joined("$and" if holds else "$or", [metadata_filter(part, holds) for part in parts])
        case AnyOf(parts):
            return _joined("$or" if holds else "$and", [metadata_filter(part, holds) for part in parts])
        case Not(part):
            return metadata_filter(part, not holds)
        case Exists(field):
            if field.own:
                return EVERYTHING if holds else NOTHING
            return _has([_is_set("any", field.name)], holds)
        case OneOf(field, values):
            return _one_of(field, values, holds)
        case Range(field, bounds):
            return _range(field, bounds, holds)


def facts(metadata: Metadata) -> Clause:
    """Metadata as a record has it: the list of terms, and the numbers that ranges ask for."""
    terms: dict[str, None] = {"*": None}
    numbers: Clause = {}
    for fact in facts_of(metadata):
        terms |= {_is_set("any", fact.key): None, _is_set(fact.kind, fact.key): None}
        terms[_term(fact.kind, fact.key, fact.value)] = None
        if fact.kind == "text":
            numbers |= text_numbers(_named(fact.key), str(fact.value))
        elif fact.kind == "number":
            numbers[f"number_{_named(fact.key)}"] = fact.value
    return {"facts": list(terms), **numbers}


def text_numbers(name: str, text: str) -> Clause:
    """The beginning of a text as numbers, whose order is that of its code points."""
    return {f"text{n}_{name}": number for n, number in enumerate(_pieces(text)[:_PIECES])}


def _one_of(field: Field, values: tuple[Value, ...], holds: bool) -> Clause:
    if not values:
        return NOTHING if holds else EVERYTHING
    if field.own:
        return {OWN[field.name]: {"$in" if holds else "$nin": list(values)}}
    return _has([term for value in values for term in _terms(field.name, value)], holds)


def _range(field: Field, bounds: tuple[tuple[Bound, str | float], ...], holds: bool) -> Clause:
    if not bounds:
        return EVERYTHING if holds else NOTHING
    kind = kind_of(bounds[0][1])
    compared = [_compared(field, name if holds else OPPOSITE[name], limit) for name, limit in bounds]
    if field.own:
        return _joined("$and" if holds else "$or", compared)
    typed = _has([_is_set(kind, field.name)], holds)
    return {"$and" if holds else "$or": [typed, *compared]}


def _compared(field: Field, name: Bound, limit: str | float) -> Clause:
    if isinstance(limit, str):
        return _text_compared(field.name if field.own else _named(field.name), name, limit)
    column = OWN[field.name] if field.own else f"number_{_named(field.name)}"
    # Minus zero becomes zero.
    return {column: {f"${name}": float(limit) + 0.0}}


def _text_compared(name: str, bound: Bound, limit: str) -> Clause:
    """Piece by piece: all before are equal, and this one differs in the right direction."""
    pieces = _pieces(limit)
    if len(pieces) > _PIECES:
        raise InvalidInput(
            "A bound of a range is too long for this search index.", f"Use one of at most {MAX_BOUND} bytes."
        )
    columns = [f"text{n}_{name}" for n in range(len(pieces))]
    equal = [{column: {"$eq": piece}} for column, piece in zip(columns, pieces, strict=True)]
    differs = "$gt" if bound in ("gt", "gte") else "$lt"
    found: list[Clause] = [{"$and": [*equal[:n], {columns[n]: {differs: piece}}]} for n, piece in enumerate(pieces)]
    return {"$or": [*found, {"$and": equal}] if bound in ("gte", "lte") else found}


def _pieces(text: str) -> list[int]:
    """Six bytes to a number below 2^53; a zero, which no byte is, marks the end."""
    data = [byte + 1 for byte in text.encode(errors="surrogatepass")] + [0]
    data += [0] * (-len(data) % _PIECE)
    return [_number(data[start : start + _PIECE]) for start in range(0, len(data), _PIECE)]


def _number(digits: Sequence[int]) -> int:
    found = 0
    for digit in digits:
        found = found * 257 + digit
    return found


def _has(terms: list[str], holds: bool) -> Clause:
    return {"facts": {"$in" if holds else "$nin": terms}}


def _terms(key: str, value: Value) -> Iterator[str]:
    kinds: tuple[FactKind, ...] = ("text", "element") if isinstance(value, str) else (kind_of(value),)
    return (_term(kind, key, value) for kind in kinds)


def _term(kind: FactKind, key: str, value: Value) -> str:
    """JSON ends a key where it ends, whatever is in it."""
    if isinstance(value, bool):
        written = str(value).lower()
    else:
        written = value if isinstance(value, str) else repr(float(value) + 0.0)
    return f"{kind}:{json.dumps(key)}{written}"


def _is_set(kind: str, key: str) -> str:
    return f"has-{kind}:{json.dumps(key)}"


def _named(key: str) -> str:
    """A key that may hold anything, as part of the name of a field."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:24]


def _joined(operator: str, parts: list[Clause]) -> Clause:
    if not parts:
        return EVERYTHING if operator == "$and" else NOTHING
    return {operator: parts}
