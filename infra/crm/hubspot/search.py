"""The search endpoint: filter groups, operators, free text, one sort, 200 a page, 10,000 in all.

developers.hubspot.com, "Search the CRM": at most 5 groups of 6 filters, 18 filters in all, a query of 3,000 characters.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from infra.crm.calls import Call, json_object, objects_in
from infra.crm.clock import hubspot_time, now, parse_time
from infra.crm.hubspot.errors import validation
from infra.crm.hubspot.schema import BY_NAME, DATES, NUMBERS, ObjectType
from infra.crm.hubspot.store import HubSpotStore, Record
from infra.crm.text import contains, folded

MAX_GROUPS, MAX_FILTERS, MAX_TOTAL_FILTERS, MAX_QUERY, MAX_LIMIT, MAX_RESULTS = 5, 6, 18, 3000, 200, 10_000
Test = Callable[[Record], bool]
OPERATORS = (
    "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN",
)  # fmt: skip


def search(store: HubSpotStore, kind: ObjectType, call: Call) -> tuple[list[Record], int, int, int]:
    """The page, the total, and the offset and limit of the page. Raises Refused."""
    body = json_object(call)
    if body is None:
        raise validation("Invalid input JSON on line 1, column 1: Unexpected character")
    start, limit = _number(body, "after", 0), _number(body, "limit", 10)
    if not 0 < limit <= MAX_LIMIT:
        raise validation(f"The limit must be between 1 and {MAX_LIMIT}")
    if start + limit > MAX_RESULTS:
        raise validation(f"The total number of results cannot exceed {MAX_RESULTS}: after + limit is {start + limit}")
    tests = _groups(store, kind, body.get("filterGroups"))
    query = str(body.get("query") or "")
    if len(query) > MAX_QUERY:
        raise validation(f"query may have at most {MAX_QUERY} characters")
    known = list(store.objects[kind.name].values())
    if call.search_delay:
        seen = hubspot_time(now() - timedelta(seconds=call.search_delay))
        known = [record for record in known if record["createdAt"] <= seen]
    found = [record for record in known if not tests or any(test(record) for test in tests)]
    for word in re.findall(r"\S+", query):
        found = [record for record in found if contains(store.text(kind, record), f"{word}*")]
    _sort(kind, found, body.get("sorts"))
    return found[start : start + limit], len(found), start, limit


def _number(body: Record, name: str, default: int) -> int:
    text = str(body.get(name) if body.get(name) is not None else default)
    if not text.isdigit():
        raise validation(f"{name} must be a number: {text}")
    return int(text)


def _groups(store: HubSpotStore, kind: ObjectType, given: Any) -> list[Test]:
    groups = objects_in(given)
    filters = [objects_in(group.get("filters")) for group in groups or []]
    if groups is None or None in filters:
        raise validation("filterGroups must be a list of objects with a list of filters")
    known = [group for group in filters if group is not None]
    counts = [len(group) for group in known]
    if len(counts) > MAX_GROUPS or any(count > MAX_FILTERS for count in counts) or sum(counts) > MAX_TOTAL_FILTERS:
        limits = f"{MAX_GROUPS} groups, {MAX_FILTERS} in each, {MAX_TOTAL_FILTERS} in all"
        raise validation(f"Too many filters: at most {limits}")
    return [_all([_filter(store, kind, one) for one in group]) for group in known]


def _all(tests: list[Test]) -> Test:
    return lambda record: all(test(record) for test in tests)


def _filter(store: HubSpotStore, kind: ObjectType, given: Any) -> Test:
    name, operator = str(given.get("propertyName")), str(given.get("operator"))
    if operator not in OPERATORS:
        raise validation(f"Invalid operator {operator}. Allowed: {', '.join(OPERATORS)}")
    if name.startswith("associations."):
        return _associated(store, kind, name, operator, given)
    if name not in kind.properties:
        raise validation(f"There was a problem with the request: property {name} does not exist on {kind.name}")
    values = given.get("values")
    if not isinstance(values, list | None) or (operator in ("IN", "NOT_IN") and values is None):
        raise validation(f"operator {operator} requires values")
    needs_value = operator not in ("IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY")
    if needs_value and given.get("value") is None:
        raise validation(f"operator {operator} requires a value")
    wanted = {**given, **{key: _comparable(name, given.get(key)) for key in ("value", "highValue")}}
    wanted["values"] = [_comparable(name, value) for value in given.get("values") or ()]
    return lambda record: _true(name, operator, record["properties"].get(name), wanted)


def _associated(store: HubSpotStore, kind: ObjectType, name: str, operator: str, given: Any) -> Test:
    other = BY_NAME.get(name.removeprefix("associations."))
    if other is None or operator not in ("EQ", "IN"):
        raise validation(f"{name} can be filtered by EQ and IN of a known type only")
    values = given.get("values") if operator == "IN" else [given.get("value")]
    wanted = {str(value) for value in values} if isinstance(values, list) else set()
    return lambda record: bool(wanted & store.joined[kind.name, record["id"], other.name].keys())


def _true(name: str, operator: str, actual: Any, given: Any) -> bool:
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return (actual not in (None, "")) == (operator == "HAS_PROPERTY")
    if operator in ("NEQ", "NOT_IN", "NOT_CONTAINS_TOKEN"):
        positive = {"NEQ": "EQ", "NOT_IN": "IN", "NOT_CONTAINS_TOKEN": "CONTAINS_TOKEN"}[operator]
        return not _true(name, positive, actual, given)
    if actual in (None, ""):
        return False
    if operator == "CONTAINS_TOKEN":
        return contains(folded(str(actual)), str(given["value"]).lstrip("*"))
    if operator == "IN":
        return _comparable(name, actual) in given["values"]
    return _compared(name, operator, actual, given)


def _compared(name: str, operator: str, actual: Any, given: Any) -> bool:
    left, right = _comparable(name, actual), given["value"]
    if type(left) is not type(right):
        return False
    if operator == "BETWEEN":
        high = given["highValue"]
        return type(high) is type(left) and bool(right <= left <= high)
    ways = {"EQ": left == right, "LT": left < right, "LTE": left <= right, "GT": left > right, "GTE": left >= right}
    return bool(ways[operator])


def _comparable(name: str, value: Any) -> Any:
    """Dates and numbers by size, the rest as text without case. Dates come as milliseconds or in ISO 8601."""
    text = str(value)
    if name in DATES:
        moment = parse_time(text.replace("Z", "+00:00"))
        return float(text) if text.isdigit() else moment.timestamp() * 1000 if moment else text
    if name in NUMBERS:
        return float(text) if text.isdigit() else text
    return text.casefold()


def _sort(kind: ObjectType, found: list[Record], sorts: Any) -> None:
    sorts = sorts or []
    if not isinstance(sorts, list) or len(sorts) > 1:
        raise validation("Only one sort may be given")
    given = sorts[0] if sorts else {"propertyName": "createdate", "direction": "ASCENDING"}
    if isinstance(given, str):
        given = {"propertyName": given.lstrip("-"), "direction": "DESCENDING" if given.startswith("-") else "ASCENDING"}
    name = given.get("propertyName") if isinstance(given, dict) else None
    if name not in kind.properties:
        raise validation(f"property {name} cannot be sorted by")
    found.sort(key=lambda r: str(r["properties"].get(name) or ""), reverse=given.get("direction") == "DESCENDING")
