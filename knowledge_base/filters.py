"""What a question is restricted to: rights, time, and a filter. Backends translate it; `matches` is the reference.

- Types never mix: `"1"` is not `1`, and `true` is not `1`. All numbers are one type, compared as 64 bit floats.
- Text compares by code points, so that dates as ISO strings compare by time.
- A list equals a value if one of its elements does. It is in no range, and an empty one is as if it were missing.
- A missing field is in no range and equals nothing, so `ne` and `not` hold for it.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from common.security.access import AccessScope
from knowledge_base.documents import Metadata

Value = str | float | bool
Bound = Literal["gt", "gte", "lt", "lte"]
COMPARE: dict[Bound, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True)
class Field:
    """A metadata key, or one of the fields that every document has (`OWN`)."""

    name: str
    own: bool = False


OWN: dict[str, type[str] | type[float]] = {
    "document_id": str,
    "title": str,
    "published_at": float,  # seconds since 1970
    "classification": float,  # its level
}


@dataclass(frozen=True)
class OneOf:
    """The field has one of these values; a list has it as an element."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """The field is within all bounds, which are all text or all numbers."""

    field: Field
    bounds: tuple[tuple[Bound, str | float], ...]


@dataclass(frozen=True)
class Exists:
    """The field has a value."""

    field: Field


@dataclass(frozen=True)
class All:
    """Each part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: "Filter"


Filter = OneOf | Range | Exists | All | AnyOf | Not


@dataclass(frozen=True)
class Restriction:
    """Which versions of which documents a query may see; each backend applies all of it inside its query."""

    scope: AccessScope
    as_of: float | None = None
    """The versions that counted at this time, in seconds since 1970; default: the current ones. Rights are of now."""
    where: Filter | None = None
    also: AccessScope | None = None
    """Only what this one may read, too."""

    @property
    def scopes(self) -> list[AccessScope]:
        """Everybody who must be allowed to read what is found."""
        return [self.scope] if self.also is None else [self.scope, self.also]


def matches(condition: Filter, metadata: Metadata, own: Mapping[str, str | float] | None = None) -> bool:
    """Whether a document satisfies a filter: the reference for every translation."""
    match condition:
        case All(parts):
            return all(matches(part, metadata, own) for part in parts)
        case AnyOf(parts):
            return any(matches(part, metadata, own) for part in parts)
        case Not(part):
            return not matches(part, metadata, own)
    found: Any = ((own or {}) if condition.field.own else metadata).get(condition.field.name)
    match condition:
        case Exists():
            return found is not None and found != []
        case OneOf(_, values):
            elements = found if isinstance(found, list) else [found]
            return any(_typed(element) == _typed(value) for element in elements for value in values)
        case Range(_, bounds):
            kind, number = _typed(found)
            limits = [(COMPARE[name], *_typed(limit)) for name, limit in bounds]
            return all(kind is its_kind and compare(number, limit) for compare, its_kind, limit in limits)


def _typed(value: Any) -> tuple[type[Any], Any]:
    return (float, float(value)) if type(value) is int else (type(value), value)


FactKind = Literal["text", "element", "number", "flag"]


@dataclass(frozen=True)
class Fact:
    """One value of a metadata key, with its type, as backends store it; `element` is one of a list."""

    key: str
    kind: FactKind
    value: Value


def kind_of(value: Value) -> FactKind:
    """The type of a single value."""
    if isinstance(value, str):
        return "text"
    return "flag" if isinstance(value, bool) else "number"


def facts_of(metadata: Metadata) -> Iterator[Fact]:
    """All values, each once."""
    for key, value in metadata.items():
        if isinstance(value, list):
            yield from (Fact(key, "element", element) for element in dict.fromkeys(value))
        elif (kind := kind_of(value)) == "number":
            # Minus zero becomes zero: some backends order the two.
            yield Fact(key, kind, float(value) + 0.0)
        else:
            yield Fact(key, kind, value)
