"""A restriction as Elasticsearch clauses, applied before anything is ranked.

All metadata of a document is one keyword field. A term is the type, the key and the value: `text:"year"2024` is none of
`number:"year"c09fa00000000000`. So types never mix, terms of one key and type are neighbours in the order of the index,
and no document adds a field to the mapping. Numbers are written so that their order is that of text.
"""

import json
import struct
from typing import Any

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
EVERYTHING: Clause = {"match_all": {}}
NOTHING: Clause = {"match_none": {}}
OWN = {"document_id": "document_id", "title": "title", "published_at": "published_at", "classification": "level"}
_SIGN = 1 << 63


def where(restriction: Restriction) -> list[Clause]:
    """All of a restriction; each clause must hold."""
    access = [clause for scope in restriction.scopes for clause in access_filter(scope)]
    metadata = [metadata_filter(restriction.where)] if restriction.where else []
    return [*access, *time_filter(restriction.as_of), *metadata]


def access_filter(scope: AccessScope) -> list[Clause]:
    """The access rule."""
    return [tenant_filter(scope), clearance_filter(scope), readers_filter(scope)]


def tenant_filter(scope: AccessScope) -> Clause:
    """Chunks of the caller's tenant."""
    return {"term": {"tenant": scope.tenant}}


def clearance_filter(scope: AccessScope) -> Clause:
    """Chunks that the caller is cleared for."""
    return {"range": {"level": {"lte": scope.level}}}


def readers_filter(scope: AccessScope) -> Clause:
    """Chunks that name nobody, a group of the caller, or the caller."""
    return {"terms": {"readers": scope.labels}}


def time_filter(as_of: float | None) -> list[Clause]:
    """Versions that count now, or that did at a time."""
    if as_of is None:
        return [{"term": {"current": True}}]
    return [
        {"range": {"published_at": {"lte": as_of}}},
        {"bool": {"must_not": {"range": {"superseded_at": {"lte": as_of}}}}},
    ]


def metadata_filter(condition: Filter) -> Clause:
    """A filter."""
    match condition:
        case All(parts):
            return {"bool": {"filter": [metadata_filter(part) for part in parts]}} if parts else EVERYTHING
        case AnyOf(parts):
            return {"bool": {"should": [metadata_filter(part) for part in parts]}} if parts else NOTHING
        case Not(part):
            return {"bool": {"must_not": metadata_filter(part)}}
        case Exists(field):
            return EVERYTHING if field.own else {"term": {"facts": _start("any", field.name)}}
        case OneOf(field, values):
            return (
                {"terms": {OWN[field.name]: list(values)}} if field.own else {"terms": {"facts": _terms(field, values)}}
            )
        case Range(field, bounds):
            ranges = [{"range": _bound(field, name, limit)} for name, limit in bounds]
            return {"bool": {"filter": ranges}} if ranges else EVERYTHING


def facts(metadata: Metadata) -> list[str]:
    """Metadata as the field `facts` has it."""
    found: dict[str, None] = {}
    for fact in facts_of(metadata):
        found[_start("any", fact.key)] = None
        found[_start(fact.kind, fact.key) + _written(fact.value)] = None
    return list(found)


def _terms(field: Field, values: tuple[Value, ...]) -> list[str]:
    found = []
    for value in values:
        kinds: tuple[FactKind, ...] = ("text", "element") if isinstance(value, str) else (kind_of(value),)
        found += [_start(kind, field.name) + _written(value) for kind in kinds]
    return found


def _bound(field: Field, name: Bound, limit: str | float) -> Clause:
    if field.own:
        return {OWN[field.name]: {name: limit}}
    start = _start(kind_of(limit), field.name)
    # The last character of the start is a quote, so this is behind all terms of that type and key.
    behind = f"{start[:-1]}#"
    other = {"gte": start} if name in ("lt", "lte") else {"lt": behind}
    return {"facts": {name: start + _written(limit), **other}}


def _start(kind: str, key: str) -> str:
    """JSON ends a key where it ends, whatever is in it."""
    return f"{kind}:{json.dumps(key)}"


def _written(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    # Minus zero becomes zero.
    [bits] = struct.unpack(">Q", struct.pack(">d", float(value) + 0.0))
    return f"{bits ^ (_SIGN if bits < _SIGN else 2 * _SIGN - 1):016x}"
