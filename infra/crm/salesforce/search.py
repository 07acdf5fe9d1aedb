"""SOSL, as far as it is used, and the parameterized search.

SOQL and SOSL Reference, "FIND": words of two characters at least, "phrases", AND, OR, NOT, * at the end of a word;
? & | ! { } [ ] ( ) ^ ~ * : \\ " ' + - are escaped by a backslash.
"""

import re
from dataclasses import dataclass
from typing import Any

from infra.crm.calls import Refused, objects_in, texts_in
from infra.crm.salesforce.errors import error
from infra.crm.salesforce.query import QueryRunner
from infra.crm.salesforce.schema import BY_NAME, OBJECTS, SObject
from infra.crm.salesforce.soql import parse_where
from infra.crm.salesforce.store import Record, SalesforceStore
from infra.crm.text import contains

MAX_RESULTS, DEFAULT_LIMIT = 2000, 200
_FIND = re.compile(
    r"\s*FIND\s*\{(?P<term>(?:[^{}\\]|\\.)*)\}\s*(?:IN\s+(?P<scope>ALL|NAME|EMAIL|PHONE|SIDEBAR)\s+FIELDS\s*)?"
    r"(?:RETURNING\s+(?P<returning>.+?))?\s*(?:LIMIT\s+(?P<limit>\d+))?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
_RETURNED = re.compile(r"\s*(\w+)\s*(?:\(((?:[^()']|'(?:[^'\\]|\\.)*'|\([^()]*\))*)\))?\s*(?:,|\Z)")
_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:[^\s"\\()]|\\.)+)')


@dataclass(frozen=True)
class Wanted:
    """One object of a search: its fields (a list as in SOQL), a condition, an order, a limit."""

    kind: SObject
    fields: str = "Id"
    where: str = ""
    order: str = ""
    limit: int = MAX_RESULTS


def sosl(store: SalesforceStore, text: str, version: str) -> list[Record]:
    """Runs FIND {...}. Raises Refused with MALFORMED_SEARCH."""
    match = _FIND.match(text)
    if match is None:
        raise _malformed("unexpected token: the search must be FIND {term} [IN ... FIELDS] [RETURNING ...] [LIMIT n]")
    wanted = _returning(match["returning"]) if match["returning"] else [Wanted(kind) for kind in OBJECTS]
    limit = min(int(match["limit"] or MAX_RESULTS), MAX_RESULTS)
    return search(store, match["term"], match["scope"] or "ALL", wanted, version)[:limit]


def search(store: SalesforceStore, term: str, scope: str, wanted: list[Wanted], version: str) -> list[Record]:
    """Records whose searched fields have the words, object by object."""
    words = _words(term)
    found = []
    for one in wanted:
        names = _scope(one.kind, scope.upper())
        if names == ():
            continue
        order = f" ORDER BY {one.order}" if one.order else ""
        text = f"SELECT {one.fields} FROM {one.kind.name}{order}"  # noqa: S608 - SOQL, for our own parser
        runner = QueryRunner(store, text, version)
        condition = runner.test(one.kind, parse_where(one.where)) if one.where else None
        records = [
            record
            for record in store.records[one.kind.name].values()
            if _matches(store.text(one.kind, record, names), words) and (condition is None or condition(record))
        ]
        found += runner.shape(one.kind, records)[: one.limit]
    return found


def parameterized(store: SalesforceStore, given: dict[str, Any], version: str) -> list[Record]:
    """The search without SOSL: q, fields, sobjects, in, overallLimit, defaultLimit."""
    term = given.get("q")
    if not isinstance(term, str) or not term.strip():
        raise error(400, "MALFORMED_SEARCH", "q is required")
    common, limit = ", ".join(texts_in(given.get("fields")) or ["Id"]), _count(given, "defaultLimit", DEFAULT_LIMIT)
    entries = objects_in(given.get("sobjects"))
    if entries is None:
        raise _malformed("sobjects must be a list of objects")
    wanted = []
    for entry in entries or [{"name": kind.name} for kind in OBJECTS]:
        fields = ", ".join(texts_in(entry.get("fields"))) or common
        where, order = str(entry.get("where") or ""), str(entry.get("orderBy") or "")
        wanted.append(Wanted(_kind(str(entry.get("name"))), fields, where, order, _count(entry, "limit", limit)))
    escaped = re.sub(r"([{}\\])", r"\\\1", term)
    found = search(store, escaped, str(given.get("in") or "ALL"), wanted, version)
    return found[: _count(given, "overallLimit", MAX_RESULTS)]


def _count(given: dict[str, Any], name: str, default: int) -> int:
    text = str(given.get(name) or default)
    if not text.isdecimal() or not 0 < int(text) <= MAX_RESULTS:
        raise _malformed(f"{name} must be a number from 1 to {MAX_RESULTS}")
    return int(text)


def _returning(text: str) -> list[Wanted]:
    wanted, position = [], 0
    while position < len(text):
        match = _RETURNED.match(text, position)
        if match is None or match.end() == position:
            raise _malformed(f"unexpected token in RETURNING: '{text[position : position + 20]}'")
        wanted.append(_one(_kind(match[1]), match[2] or "Id"))
        position = match.end()
    return wanted


def _one(kind: SObject, inside: str) -> Wanted:
    """Fields, WHERE, ORDER BY and LIMIT inside the parentheses."""
    match = re.fullmatch(
        r"(.*?)(?:\sWHERE\s(.*?))?(?:\sORDER\s+BY\s(.*?))?(?:\sLIMIT\s+(\d+))?\s*", inside, re.IGNORECASE | re.DOTALL
    )
    if match is None:
        raise _malformed("unexpected token inside RETURNING")
    return Wanted(kind, match[1].strip() or "Id", match[2] or "", match[3] or "", int(match[4] or MAX_RESULTS))


def _kind(name: str) -> SObject:
    kind = BY_NAME.get(name.lower())
    if kind is None:
        raise error(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
    return kind


def _words(term: str) -> list[tuple[str, bool, bool]]:
    """(text, excluded, alternative to the one before) for each part."""
    words: list[tuple[str, bool, bool]] = []
    excluded = alternative = False
    for quoted, bare in _PART.findall(term):
        if bare.upper() in ("AND", "OR", "NOT") and not quoted:
            excluded = bare.upper() == "NOT"
            alternative = bare.upper() == "OR"
            continue
        text = re.sub(r"\\(.)", r"\1", quoted or bare)
        words.append((text, excluded, alternative))
        excluded = alternative = False
    if not words or any(len(text.strip("*? ")) < 2 for text, *_ in words):
        raise _malformed("search term must be longer than one character: " + term)
    return words


def _matches(hay: str, words: list[tuple[str, bool, bool]]) -> bool:
    true = True
    for text, excluded, alternative in words:
        here = contains(hay, text) != excluded
        true = (true or here) if alternative else (true and here)
    return true


def _scope(kind: SObject, scope: str) -> tuple[str, ...] | None:
    """The fields of a scope; None for all of them."""

    def named(field_type: str) -> tuple[str, ...]:
        return tuple(field.name for field in kind.fields.values() if field.type == field_type)

    if scope in ("ALL", "SIDEBAR"):
        return None
    if scope == "NAME":
        return kind.named
    return named("email" if scope == "EMAIL" else "phone")


def _malformed(problem: str) -> Refused:
    return error(400, "MALFORMED_SEARCH", problem)
