"""A restriction as the SQL that Lance applies before it searches.

Metadata is a JSON column whose keys carry the type, so that Lance, which would read "1" as 1, never converts anything.
"""

import json
from collections.abc import Sequence
from typing import Literal

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

STILL = 2**62
"""`superseded_at` of a version that nothing has superseded."""
_SIGNS: dict[Bound, str] = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_GETTERS = {"text": "json_get_string", "number": "json_get_float", "flag": "json_get_bool"}
_OWN = {"document_id": "document_id", "title": "title", "published_at": "published_at", "classification": "level"}


def where(restriction: Restriction) -> str:
    """All of a restriction."""
    found = " AND ".join([*map(access_filter, restriction.scopes), time_filter(restriction.as_of)])
    return f"{found} AND {metadata_filter(restriction.where)}" if restriction.where else found


def access_filter(scope: AccessScope) -> str:
    """The access rule."""
    return f"{tenant_filter(scope)} AND {clearance_filter(scope)} AND {readers_filter(scope)}"


def tenant_filter(scope: AccessScope) -> str:
    """Rows of the caller's tenant."""
    return f"tenant = {literal(scope.tenant)}"


def clearance_filter(scope: AccessScope) -> str:
    """Rows that the caller is cleared for."""
    return f"level <= {scope.level:d}"


def readers_filter(scope: AccessScope) -> str:
    """Rows that name nobody, a group of the caller, or the caller."""
    return f"array_has_any(readers, [{', '.join(literal(label) for label in scope.labels)}])"


def time_filter(as_of: float | None) -> str:
    """Versions that count now, or that did at a time."""
    if as_of is None:
        return f"superseded_at = {STILL:d}"
    return f"published_at <= {float(as_of)!r} AND superseded_at > {microseconds(as_of):d}"


def microseconds(at: float) -> int:
    """A time as `superseded_at` has it.

    Bitmaps of Lance are of whole numbers, and a tree takes four times as long to find the 100,000 chunks of today.
    """
    return round(at * 1e6)


def metadata_filter(condition: Filter) -> str:
    """A filter; never NULL, so that `NOT` means not."""
    match condition:
        case All(parts):
            return _joined("AND", [metadata_filter(part) for part in parts], "true")
        case AnyOf(parts):
            return _joined("OR", [metadata_filter(part) for part in parts], "false")
        case Not(part):
            return f"(NOT {metadata_filter(part)})"
        case Exists(field):
            return "true" if field.own else _is_set(_key(field.name, "any"))
        case OneOf(field, values):
            return _joined("OR", [_equals(field, value) for value in values], "false")
        case Range(field, bounds):
            tests = [f"{_value(field, limit)} {_SIGNS[name]} {literal(limit)}" for name, limit in bounds]
            return f"coalesce({_joined('AND', tests, 'true')}, false)"


def facts_json(metadata: Metadata) -> str:
    """Metadata as the column `facts` has it."""
    stored: dict[str, Value] = {}
    for fact in facts_of(metadata):
        stored[_key(fact.key, "any")] = True
        if fact.kind == "element":
            stored[_element(fact.key, str(fact.value))] = True
        else:
            stored[_key(fact.key, fact.kind)] = fact.value
    return json.dumps(stored)


def literal(value: Value) -> str:
    """A literal of Lance's SQL. In a string only the quote is special."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    # Minus zero becomes zero: Lance orders the two.
    return str(value).lower() if isinstance(value, bool) else repr(float(value) + 0.0)


def _equals(field: Field, value: Value) -> str:
    equal = f"coalesce({_value(field, value)} = {literal(value)}, false)"
    if field.own or not isinstance(value, str):
        return equal
    return f"({equal} OR {_is_set(_element(field.name, value))})"


def _value(field: Field, like: Value) -> str:
    """The field's value if it is of the type of `like`, else NULL."""
    if field.own:
        return _OWN[field.name]
    kind = kind_of(like)
    return f"{_GETTERS[kind]}(facts, {literal(_key(field.name, kind))})"


def _is_set(key: str) -> str:
    return f"coalesce(json_get_bool(facts, {literal(key)}), false)"


def _key(name: str, kind: FactKind | Literal["any"]) -> str:
    return f"{kind}:{name}"


def _element(name: str, value: str) -> str:
    return f"element:{json.dumps([name, value])}"


def _joined(word: str, parts: Sequence[str], of_none: str) -> str:
    return f"({f' {word} '.join(parts)})" if parts else of_none
