"""Filters and sort orders as callers write them. They are parsed once, here.

{"department": "legal", "tags": ["gdpr", "contract"], "year": {"gte": 2024}}
{"any": [{"status": {"ne": "draft"}}, {"not": {"contact": {"exists": true}}}]}
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from common.errors import InvalidInput
from common.security.access import LEVELS
from knowledge_base.browsing import Sort
from knowledge_base.filters import COMPARE, OWN, All, AnyOf, Bound, Exists, Field, Filter, Not, OneOf, Range, Value

MAX_DEPTH = 8
MAX_VALUES = 200
MAX_TEXT = 1_000
MAX_NAME = 100
MAX_NUMBER = 1e308
METADATA_PREFIX = "metadata."
"""Before a key, it means the metadata even where every document has a field of that name."""
OPERATORS = ("eq", "ne", "in", "range", *COMPARE, "exists")
_HINT = 'For example {"department": "legal", "year": {"gte": 2024}, "not": {"status": {"in": ["draft", "old"]}}}.'


def parse_filter(value: Mapping[str, Any]) -> Filter | None:
    """The filter that a caller wrote; None if it is empty. Raises InvalidInput that names the wrong part."""
    if not value:
        return None
    parsed = _filter(value, "filters", 1)
    if _size(parsed) > MAX_VALUES:
        raise InvalidInput(f"The filter has more than {MAX_VALUES} values.", "Ask for less at once.")
    return parsed


def parse_sort(value: str) -> Sort:
    """A field, descending with a minus before it. Raises InvalidInput."""
    descending = value.startswith("-")
    return Sort(parse_field(value.removeprefix("-"), "sort"), descending)


def parse_field(name: str, at: str) -> Field:
    """The field of a name. Raises InvalidInput."""
    own = name in OWN
    key = name if own else name.removeprefix(METADATA_PREFIX)
    if not key or not is_text(key, MAX_NAME):
        raise _wrong(at, f"{name[:50]!r} is no field name", f"Use 1 to {MAX_NAME} characters.")
    return Field(key, own)


def is_text(value: str, limit: int) -> bool:
    """Whether every backend can store it: not too long, no NUL, no half of a surrogate pair."""
    return len(value) <= limit and "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def is_number(value: object) -> bool:
    """Whether every backend can store it as a number."""
    return isinstance(value, int | float) and abs(value) < MAX_NUMBER


def _filter(value: Any, at: str, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise _wrong(at, f"it is nested more than {MAX_DEPTH} deep")
    if not isinstance(value, Mapping) or not value:
        raise _wrong(at, "here must be an object that names a field")
    parts = [_part(str(name), found, f"{at}.{name}"[:200], depth) for name, found in value.items()]
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _part(name: str, value: Any, at: str, depth: int) -> Filter:
    if name == "not":
        return Not(_filter(value, at, depth + 1))
    if name in ("any", "all"):
        if not isinstance(value, list) or not value:
            raise _wrong(
                at, f"{name!r} takes a list of filters", f'{{"{name}": [{{"kind": "policy"}}, {{"year": 2026}}]}}.'
            )
        parts = tuple(_filter(item, f"{at}[{number}]", depth + 1) for number, item in enumerate(value))
        return All(parts) if name == "all" else AnyOf(parts)
    field = parse_field(name, at)
    if isinstance(value, Mapping):
        return _operators(field, value, at)
    return OneOf(field, _values(field, value if isinstance(value, list) else [value], at))


def _operators(field: Field, given: Mapping[str, Any], at: str) -> Filter:
    parts = [_operator(field, name, value, f"{at}.{name}"[:200]) for name, value in given.items()]
    if not parts:
        raise _wrong(at, f"use one of {', '.join(OPERATORS)} there")
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _operator(field: Field, name: str, value: Any, at: str) -> Filter:
    if name == "eq":
        return OneOf(field, _values(field, [value], at))
    if name == "ne":
        return Not(OneOf(field, _values(field, [value], at)))
    if name == "in":
        return OneOf(field, _values(field, value, at))
    if name == "exists" and isinstance(value, bool):
        return Exists(field) if value else Not(Exists(field))
    if name == "range" and isinstance(value, Mapping):
        return _range(field, value, at)
    if name in COMPARE:
        return _range(field, {name: value}, at)
    raise _wrong(at, f"use one of {', '.join(OPERATORS)} there, with a value that fits")


def _range(field: Field, given: Mapping[str, Any], at: str) -> Range:
    values = _values(field, list(given.values()), at)
    text = all(isinstance(value, str) for value in values)
    number = all(isinstance(value, float) for value in values)
    if not set(given) <= set(COMPARE) or not (text or number):
        form = '{"range": {"gte": 2024, "lt": 2026}} or {"range": {"gte": "2026-01-01"}}.'
        raise _wrong(at, "a range takes gt, gte, lt or lte, all numbers or all text", form)
    return Range(field, tuple(zip(cast(list[Bound], list(given)), cast(list[str | float], values), strict=True)))


def _values(field: Field, values: Any, at: str) -> tuple[Value, ...]:
    if not isinstance(values, list) or not values:
        raise _wrong(at, "here must be a list with at least one value")
    return tuple(_value(field, value, at) for value in values)


def _value(field: Field, value: Any, at: str) -> Value:
    if field.own and field.name in _CONVERTED:
        return _CONVERTED[field.name](value, at)
    if isinstance(value, str) and is_text(value, MAX_TEXT):
        return value
    if isinstance(value, bool) and not field.own:
        return value
    if is_number(value) and not field.own:
        return float(value) + 0.0
    what = "text" if field.own else "text, a number, or true/false"
    raise _wrong(at, f"a value must be {what}")


def _moment(value: Any, at: str) -> float:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError):
        raise _wrong(at, "this is no date", 'Write "2026-06-30" or "2026-06-30T12:00:00Z".') from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _level(value: Any, at: str) -> float:
    if not isinstance(value, str) or value not in LEVELS:
        raise _wrong(at, "this is no classification", f"Use {', '.join(LEVELS)}.")
    return float(LEVELS[value])


_CONVERTED = {"published_at": _moment, "classification": _level}


def _size(condition: Filter) -> int:
    match condition:
        case All(parts) | AnyOf(parts):
            return sum(_size(part) for part in parts)
        case Not(part):
            return _size(part)
        case OneOf(_, values):
            return len(values)
        case Exists():
            return 1
        case Range(_, bounds):
            return len(bounds)


def _wrong(at: str, what: str, hint: str = _HINT) -> InvalidInput:
    return InvalidInput(f"The part {at} cannot be used: {what}.", hint)
