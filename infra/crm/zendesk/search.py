"""Zendesk's search language, as far as it is used: words, "phrases", properties, comparisons, negation.

support.zendesk.com, "Zendesk Support search reference": values of the same property are alternatives, the rest must all
be true.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from infra.crm.clock import parse_time
from infra.crm.text import contains, digits, folded
from infra.crm.zendesk.store import Record, ZendeskStore

_TERM = re.compile(r'(-?)(?:([a-z_]+)(<=|>=|[:<>]))?("([^"]*)"?|\S+)', re.IGNORECASE)
ORDERS = {
    "status": ("new", "open", "pending", "hold", "solved", "closed"),
    "priority": ("low", "normal", "high", "urgent"),
}
TIMES = {"created": "created_at", "updated": "updated_at"}
TYPES = {"ticket": "tickets", "user": "users", "organization": "organizations"}
PROPERTIES = {
    *ORDERS, *TIMES, "type", "requester", "submitter", "assignee", "organization", "tags", "subject", "description",
    "external_id", "name", "email", "phone", "role", "via",
}  # fmt: skip


@dataclass(frozen=True)
class Term:
    """One part of a query."""

    negated: bool
    field: str
    operator: str
    value: str


def parse(query: str) -> list[Term]:
    """The terms. An unknown property is ordinary text, as it is there."""
    terms = []
    for minus, name, operator, raw, quoted in _TERM.findall(query):
        value = quoted if raw.startswith('"') else raw
        known = name.lower() in PROPERTIES
        text = value if known or not name else f"{name}{operator}{value}"
        terms.append(Term(bool(minus), name.lower() if known else "", operator if known else ":", text))
    return terms


class Search:
    """Searches a store. The folded text of a record is kept until the record changes."""

    def __init__(self, store: ZendeskStore) -> None:
        self._store = store
        self._texts: dict[int, tuple[str, str]] = {}

    def find(self, query: str, kinds: tuple[str, ...] = ("ticket", "user", "organization")) -> list[Record]:
        """Matching records with their `result_type`, those with the words in subject or name first, then the newest."""
        # Words last: they cost the most, and often nothing is left to look into.
        terms = sorted(parse(query), key=lambda term: not term.field)
        types = {term.value for term in terms if term.field == "type" and not term.negated}
        found = []
        for kind in (kind for kind in kinds if not types or kind in types):
            for record in getattr(self._store, TYPES[kind]).values():
                if self._matches(kind, record, terms):
                    found.append({**record, "result_type": kind})
        words = [term.value for term in terms if not term.field and not term.negated]
        found.sort(key=lambda record: record["created_at"], reverse=True)
        if words:
            found.sort(key=lambda record: -sum(contains(folded(_title(record)), word) for word in words))
        return found

    def _text(self, kind: str, record: Record) -> str:
        stamp = f"{record['updated_at']}{len(self._store.comments.get(record['id'], ()))}"
        kept = self._texts.get(record["id"])
        if kept and kept[0] == stamp:
            return kept[1]
        if kind == "ticket":
            comments = self._store.comments.get(record["id"], [])
            parts = [record["subject"], *(comment["body"] for comment in comments), *record["tags"], str(record["id"])]
        else:
            parts = [record["name"], record.get("email") or "", record.get("phone") or "", record.get("notes", "")]
        text = folded(" \n ".join(parts))
        self._texts[record["id"]] = (stamp, text)
        return text

    def _matches(self, kind: str, record: Record, terms: list[Term]) -> bool:
        alternatives: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for term in terms:
            if term.field == "type":
                continue
            true = self._true(kind, record, term)
            if term.negated or not term.field or term.operator != ":":
                if true == term.negated:
                    return False
            else:
                alternatives[term.field, term.operator].append(true)
        return all(any(group) for group in alternatives.values())

    def _true(self, kind: str, record: Record, term: Term) -> bool:
        if not term.field:
            return contains(self._text(kind, record), term.value)
        if term.field in ORDERS:
            return kind == "ticket" and _ordered(ORDERS[term.field], record.get(term.field), term)
        if term.field in TIMES:
            return _timed(record[TIMES[term.field]], term)
        return self._property(kind, record, term.field, term.value)

    def _property(self, kind: str, record: Record, field: str, value: str) -> bool:
        if field in ("requester", "submitter", "assignee"):
            return kind == "ticket" and self._person(record.get(f"{field}_id"), value)
        if field == "organization":
            organization = self._store.organizations.get(record.get("organization_id") or 0)
            return organization is not None and _named(organization["name"], value, organization["id"])
        if field == "tags":
            return value.lower() in record.get("tags", [])
        if field == "phone":
            return bool(digits(value)) and digits(record.get("phone") or "") == digits(value)
        if field in ("email", "external_id", "role"):
            return str(record.get(field) or "").casefold() == value.casefold()
        if field == "via":
            return bool(kind == "ticket" and record["via"]["channel"] == value)
        return contains(folded(str(record.get(field) or "")), value)

    def _person(self, number: int | None, value: str) -> bool:
        if value == "none":
            return number is None
        user = self._store.users.get(number or 0)
        email = user and (user["email"] or "").casefold()
        return user is not None and (email == value.casefold() or _named(user["name"], value, user["id"]))


def _title(record: Record) -> str:
    return str(record.get("subject") or record.get("name") or "")


def _named(name: str, value: str, number: int) -> bool:
    return str(number) == value or contains(folded(name), value)


def _ordered(order: tuple[str, ...], actual: Any, term: Term) -> bool:
    if actual not in order or term.value not in order:
        return actual is None and term.value == "none"
    return _compare(order.index(actual), term.operator, order.index(term.value))


def _timed(actual: str, term: Term) -> bool:
    moment, wanted = parse_time(actual), parse_time(term.value)
    if moment is None or wanted is None:
        return False
    if term.operator == ":":
        return wanted <= moment < wanted + timedelta(days=1)
    return _compare(moment, term.operator, wanted)


def _compare(left: Any, operator: str, right: Any) -> bool:
    ways = {":": left == right, "<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}
    return bool(ways[operator])
