"""Runs a parsed query over the store, with the org's rules about names, types and what can be filtered."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from infra.crm.calls import Refused
from infra.crm.clock import now, parse_time
from infra.crm.ids import is_salesforce_id, with_check
from infra.crm.salesforce.errors import error, query_error
from infra.crm.salesforce.schema import BY_NAME, Field, SObject
from infra.crm.salesforce.soql import Comparison, Condition, Literal, Name, Order, parse
from infra.crm.salesforce.store import Record, SalesforceStore

Test = Callable[[Record], bool]
MAX_OFFSET = 2000


class QueryRunner:
    """One query text against the store. Raises Refused."""

    def __init__(self, store: SalesforceStore, text: str, version: str) -> None:
        self._store, self._text, self._version = store, text, version

    def run(self) -> tuple[list[Record], int]:
        """The shaped records, and how many there are; a COUNT() has none."""
        query = parse(self._text)
        kind = self._object(query.source)
        getters = [self._path(kind, name) for name in query.fields]
        if query.offset > MAX_OFFSET:
            raise error(400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        test = self.test(kind, query.where) if query.where else None
        found = [record for record in self._store.records[kind.name].values() if test is None or test(record)]
        self.sort(kind, found, query.order)
        end = None if query.limit is None else query.offset + query.limit
        found = found[query.offset : end]
        if not query.fields:
            return [], len(found)
        names = [[field.name for field in path] for path in getters]
        return [self.shaped(kind, record, names) for record in found], len(found)

    def shape(self, kind: SObject, records: list[Record]) -> list[Record]:
        """Records that were found otherwise, in the order and with the fields of the query."""
        query = parse(self._text)
        self.sort(kind, records, query.order)
        names = [[field.name for field in self._path(kind, name)] for name in query.fields]
        return [self.shaped(kind, record, names) for record in records]

    def shaped(self, kind: SObject, record: Record, paths: list[list[str]]) -> Record:
        """The wanted fields, with attributes; related records nested, or null."""
        url = f"/services/data/v{self._version}/sobjects/{kind.name}/{record['Id']}"
        made: Record = {"attributes": {"type": kind.name, "url": url}}
        nested: dict[str, list[list[str]]] = {}
        for path in paths:
            if len(path) == 1:
                made[path[0]] = record[path[0]]
            else:
                made.setdefault(BY_NAME[kind.name.lower()].fields[path[0].lower()].relationship, None)
                nested.setdefault(path[0], []).append(path[1:])
        for reference, rest in nested.items():
            field = kind.fields[reference.lower()]
            target, key = BY_NAME[field.to.lower()], record[reference]
            other = self._store.records[target.name].get(key or "")
            made[field.relationship] = self.shaped(target, other, rest) if other else None
        return made

    def test(self, kind: SObject, condition: Condition) -> Test:
        """A condition as a function of a record."""
        if isinstance(condition, Comparison):
            return self._compared(kind, condition)
        parts = [self.test(kind, part) for part in condition.parts]
        if condition.operator == "not":
            return lambda record: not parts[0](record)
        if condition.operator == "and":
            return lambda record: all(part(record) for part in parts)
        return lambda record: any(part(record) for part in parts)

    def sort(self, kind: SObject, found: list[Record], order: list[Order]) -> None:
        """In place, the last key first; without an order by id, which is one that the caller cannot rely on there."""
        found.sort(key=lambda record: str(record["Id"]))
        for entry in reversed(order):
            path = self._path(kind, entry.field)
            self._allow(path[-1], entry.field, "sorted")
            value = partial(self._value, path=path)
            found.sort(key=partial(_sort_key, value), reverse=entry.descending)
            nulls = [record for record in found if value(record) is None]
            others = [record for record in found if value(record) is not None]
            found[:] = others + nulls if entry.nulls_last else nulls + others

    def _object(self, name: Name) -> SObject:
        kind = BY_NAME.get(name.path[0].lower()) if len(name.path) == 1 else None
        if kind is None:
            problem = (
                f"sObject type '{'.'.join(name.path)}' is not supported. If you are attempting to use a custom object, "
                "be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call "
                "for the appropriate names."
            )
            raise query_error("INVALID_TYPE", self._text, name.position, problem)
        return kind

    def _path(self, kind: SObject, name: Name) -> list[Field]:
        fields: list[Field] = []
        for step in name.path[:-1]:
            reference = kind.relationship(step)
            if reference is None:
                raise self._unknown(kind, step, name, "Didn't understand relationship '{step}' in field path.")
            fields.append(reference)
            kind = BY_NAME[reference.to.lower()]
        field = kind.field(name.path[-1])
        if field is None:
            raise self._unknown(kind, name.path[-1], name, "No such column '{step}' on entity '{kind}'.")
        return [*fields, field]

    def _unknown(self, kind: SObject, step: str, name: Name, problem: str) -> Refused:
        hint = (
            " If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. "
            "Please reference your WSDL or the describe call for the appropriate names."
        )
        return query_error("INVALID_FIELD", self._text, name.position, problem.format(step=step, kind=kind.name) + hint)

    def _allow(self, field: Field, name: Name, done: str) -> None:
        if field.type == "textarea" and field.length > 255:
            problem = f"field '{field.name}' can not be {done} in a query call"
            raise query_error("INVALID_FIELD", self._text, name.position, problem)

    def _value(self, record: Record, path: list[Field]) -> Any:
        for reference in path[:-1]:
            found = self._store.records[reference.to].get(record[reference.name] or "")
            if found is None:
                return None
            record = found
        return record[path[-1].name]

    def _compared(self, kind: SObject, condition: Comparison) -> Test:
        path = self._path(kind, condition.field)
        field = path[-1]
        self._allow(field, condition.field, "filtered")
        if isinstance(condition.value, list):
            wanted = {self._literal(field, condition, value) for value in condition.value}
            inside = condition.operator == "in"
            return lambda record: (_folded(self._value(record, path)) in wanted) == inside
        if condition.operator == "like":
            pattern = self._pattern(field, condition, condition.value)
            return lambda record: pattern.fullmatch(str(self._value(record, path) or "")) is not None
        return self._ordered(path, condition, self._literal(field, condition, condition.value))

    def _ordered(self, path: list[Field], condition: Comparison, wanted: Any) -> Test:
        operator, timed = condition.operator, path[-1].type == "datetime"
        ways: dict[str, Callable[[Any], bool]] = {
            "=": lambda left: left == wanted,
            "!=": lambda left: left != wanted,
            "<": lambda left: left is not None and left < wanted,
            ">": lambda left: left is not None and left > wanted,
            "<=": lambda left: left is not None and left <= wanted,
            ">=": lambda left: left is not None and left >= wanted,
        }
        true = ways[operator]
        if wanted is None and operator not in ("=", "!="):
            raise self._mismatch(condition, "null")
        if timed:
            return lambda record: true(_moment(self._value(record, path)))
        return lambda record: true(_folded(self._value(record, path)))

    def _literal(self, field: Field, condition: Comparison, literal: Literal) -> Any:
        if literal.value is None:
            return None
        if field.type == "datetime":
            if literal.kind not in ("time", "date"):
                raise self._mismatch(condition, str(literal.value))
            return _moment(literal.value) if literal.kind == "time" else _date_word(literal.value)
        if field.type == "boolean":
            if not isinstance(literal.value, bool):
                raise self._mismatch(condition, str(literal.value))
            return literal.value
        if literal.kind != "string":
            raise self._mismatch(condition, str(literal.value))
        if field.type in ("id", "reference"):
            if literal.value and not is_salesforce_id(literal.value):
                problem = f"invalid ID field: {literal.value}"
                raise query_error("INVALID_QUERY_FILTER_OPERATOR", self._text, condition.field.position, problem)
            return with_check(literal.value[:15]).casefold() if literal.value else None
        return literal.value.replace("\\_", "_").replace("\\%", "%").casefold() or None

    def _pattern(self, field: Field, condition: Comparison, literal: Literal) -> re.Pattern[str]:
        if literal.kind != "string" or field.type not in ("string", "email", "phone", "picklist", "textarea"):
            problem = f"invalid operator on {field.type} field"
            raise query_error("INVALID_QUERY_FILTER_OPERATOR", self._text, condition.field.position, problem)
        parts = re.split(r"(\\_|\\%|_|%)", literal.value)
        known = {"\\_": "_", "\\%": "%", "_": ".", "%": ".*"}
        return re.compile("".join(known.get(part, re.escape(part)) for part in parts), re.IGNORECASE | re.DOTALL)

    def _mismatch(self, condition: Comparison, value: str) -> Refused:
        name = ".".join(condition.field.path)
        problem = f"value of filter criterion for field '{name}' must be of its type, and strings in quotes: {value}"
        return query_error("INVALID_FIELD", self._text, condition.field.position, problem)


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _sort_key(value: Callable[[Record], Any], record: Record) -> str:
    found = value(record)
    return "" if found is None else str(found).casefold()


def _moment(text: str | None) -> datetime | None:
    return parse_time(text) if text else None


def _date_word(word: str) -> datetime:
    """The start of the period, by UTC days."""
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    if word.startswith("last_n_days:"):
        return today - timedelta(days=min(int(word.split(":")[1]), 36_500))
    months = {"this_month": today.replace(day=1), "this_year": datetime(today.year, 1, 1, tzinfo=UTC)}
    months["last_month"] = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    weeks = {"today": today, "yesterday": today - timedelta(days=1)}
    weeks["last_week"] = today - timedelta(days=(today.weekday() + 1) % 7 + 7)
    return {**months, **weeks}[word]
