"""What a metadata filter of Pinecone means, as its documentation says; and nothing that it does not say."""

from collections.abc import Callable
from typing import Any

MAX_VALUES = 10_000
"""Of one `$in` or `$nin`."""
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "$gt": lambda a, b: a > b,
    "$gte": lambda a, b: a >= b,
    "$lt": lambda a, b: a < b,
    "$lte": lambda a, b: a <= b,
}


class Malformed(Exception):
    """The server answers 400."""


def matches(condition: Any, metadata: dict[str, Any]) -> bool:
    """Whether a record satisfies a filter. A comparison with a field that is not there holds for nobody."""
    if not isinstance(condition, dict):
        raise Malformed("a filter is an object")
    return all(_holds(name, asked, metadata) for name, asked in condition.items())


def _holds(name: str, asked: Any, metadata: dict[str, Any]) -> bool:
    if name in ("$and", "$or"):
        if not isinstance(asked, list) or not asked:
            raise Malformed(f"{name} needs a list that is not empty")
        each = [matches(part, metadata) for part in asked]
        return all(each) if name == "$and" else any(each)
    if name.startswith("$"):
        raise Malformed(f"{name} is not an operator")
    tests = asked if isinstance(asked, dict) else {"$eq": asked}
    return all(_compared(operator, value, metadata.get(name)) for operator, value in tests.items())


def _compared(operator: str, value: Any, found: Any) -> bool:
    elements = found if isinstance(found, list) else [found]
    if operator in _COMPARE:
        if not _is_number(value):
            raise Malformed(f"{operator} compares numbers")
        return _is_number(found) and _COMPARE[operator](found, value)
    if operator in ("$eq", "$ne"):
        return found is not None and _any_equal(elements, [_single(value)]) == (operator == "$eq")
    if operator in ("$in", "$nin"):
        if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
            raise Malformed(f"{operator} needs a list of 1 to {MAX_VALUES} values")
        return found is not None and _any_equal(elements, [_single(each) for each in value]) == (operator == "$in")
    raise Malformed(f"{operator} is not an operator")


def _any_equal(elements: list[Any], values: list[Any]) -> bool:
    return any(_typed(element) == _typed(value) for element in elements for value in values)


def _typed(value: Any) -> tuple[str, Any]:
    return ("number", float(value)) if _is_number(value) else (type(value).__name__, value)


def _single(value: Any) -> Any:
    if not isinstance(value, str | bool | int | float):
        raise Malformed("values are text, numbers or booleans")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
