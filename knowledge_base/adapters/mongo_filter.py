"""A filter as a MongoDB query. Metadata is an array of typed values; what callers write is only ever a value."""

from collections.abc import Sequence
from typing import Any

from knowledge_base.filters import (
    All,
    AnyOf,
    Bound,
    Exists,
    Field,
    Filter,
    Not,
    OneOf,
    Range,
    Value,
    kind_of,
)

NOTHING: dict[str, Any] = {"$nor": [{}]}
_SIGNS: dict[Bound, str] = {"gt": "$gt", "gte": "$gte", "lt": "$lt", "lte": "$lte"}
OWN = {"document_id": "document_id", "title": "title", "published_at": "published_at", "classification": "level"}


def satisfies(condition: Filter, at: str) -> dict[str, Any]:
    """A filter on the version that is below the path `at`."""
    match condition:
        case All(parts):
            return {"$and": [satisfies(part, at) for part in parts]} if parts else {}
        case AnyOf(parts):
            return {"$or": [satisfies(part, at) for part in parts]} if parts else NOTHING
        case Not(part):
            return {"$nor": [satisfies(part, at)]}
        case Exists(field):
            return {} if field.own else _fact(at, field)
        case OneOf(field, values):
            return {"$or": [_equals(field, value, at) for value in values]} if values else NOTHING
        case Range(Field(name, own=True), bounds):
            return {"$and": [{f"{at}.{OWN[name]}": {_SIGNS[bound]: limit}} for bound, limit in bounds]}
        case Range(field, bounds):
            kinds = {kind_of(limit) for _, limit in bounds}
            return _fact(at, field, t=kinds.pop(), v=_tightest(bounds)) if len(kinds) == 1 else NOTHING


def _tightest(bounds: Sequence[tuple[Bound, str | float]]) -> dict[str, Any]:
    """Each operator once, as the query language has it."""
    limits: dict[str, Any] = {}
    for bound, limit in bounds:
        sign, value = _SIGNS[bound], _stored(limit)
        pick = max if bound in ("gt", "gte") else min
        limits[sign] = pick(limits.get(sign, value), value)
    return limits


def _equals(field: Field, value: Value, at: str) -> dict[str, Any]:
    if field.own:
        return {f"{at}.{OWN[field.name]}": {"$eq": value}}
    kinds = ["text", "element"] if isinstance(value, str) else [kind_of(value)]
    return _fact(at, field, t={"$in": kinds}, v={"$eq": _stored(value)})


def _fact(at: str, field: Field, **conditions: Any) -> dict[str, Any]:
    return {f"{at}.facts": {"$elemMatch": {"k": {"$eq": field.name}, **conditions}}}


def _stored(value: Value) -> Value:
    """Numbers are doubles; minus zero is zero."""
    return value if isinstance(value, str | bool) else float(value) + 0.0
