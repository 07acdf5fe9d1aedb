"""A filter as a condition on versions. Metadata is a table of typed values: one code for SQLite and Postgres."""

from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    FromClause,
    Integer,
    String,
    Table,
    Text,
    and_,
    cast,
    exists,
    false,
    not_,
    or_,
    true,
)

from knowledge_base.adapters.sql_tables import documents, metadata, versions
from knowledge_base.documents import NewDocument, Version
from knowledge_base.filters import (
    COMPARE,
    All,
    AnyOf,
    Exists,
    Field,
    Filter,
    Not,
    OneOf,
    Range,
    Value,
    facts_of,
    kind_of,
)

# Postgres compares by code point only if told to; SQLite always does.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
facts = Table(
    "facts",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("document_id", String(200), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("key", _TEXT, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("text", _TEXT),
    Column("number", Float),
)
OWN: dict[str, ColumnElement[Any]] = {
    "document_id": versions.c.document_id,
    "title": versions.c.title,
    "published_at": versions.c.published_at,
    "classification": documents.c.level,
}
ORDERED = OWN | {name: cast(OWN[name], _TEXT) for name in ("document_id", "title")}
"""For `<` and for an order. What is equal is so by any locale, and is found in an index."""


def satisfies(condition: Filter) -> ColumnElement[bool]:
    """A filter on a row of `joined`. Values are always parameters."""
    match condition:
        case All(parts):
            return and_(true(), *(satisfies(part) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(satisfies(part) for part in parts))
        case Not(part):
            return not_(satisfies(part))
        case Exists(field):
            return true() if field.own else _fact(field)
        case OneOf(field, values):
            return or_(false(), *(_equals(field, value) for value in values))
        case Range(Field(name, own=True), bounds):
            return and_(*(COMPARE[bound](ORDERED[name], limit) for bound, limit in bounds))
        case Range(field, bounds):
            tests = [COMPARE[bound](_column(limit), limit) for bound, limit in bounds]
            kinds = [facts.c.kind == kind_of(limit) for _, limit in bounds]
            return _fact(field, *kinds, *tests)


def fact_rows(document: NewDocument | Version, version: int) -> list[dict[str, Any]]:
    """Metadata of a version as rows of `facts`."""
    same = {"tenant": document.tenant, "document_id": document.document_id, "version": version}
    return [
        {
            **same,
            "key": fact.key,
            "position": position,
            "kind": fact.kind,
            "text": fact.value if isinstance(fact.value, str) else None,
            "number": None if isinstance(fact.value, str) else float(fact.value),
        }
        for position, fact in enumerate(facts_of(document.metadata))
    ]


def of_version(values: FromClause = facts, of: FromClause = versions) -> ColumnElement[bool]:
    """The facts of the version of a row."""
    return and_(*(values.c[name] == of.c[name] for name in ("tenant", "document_id", "version")))


def _equals(field: Field, value: Value) -> ColumnElement[bool]:
    if field.own:
        return OWN[field.name] == value
    kinds = ("text", "element") if isinstance(value, str) else (kind_of(value),)
    return _fact(field, facts.c.kind.in_(kinds), _column(value) == _stored(value))


def _fact(field: Field, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(of_version(), facts.c.key == field.name, *conditions)


def _column(like: Value) -> Column[Any]:
    return facts.c.text if isinstance(like, str) else facts.c.number


def _stored(value: Value) -> str | float:
    return value if isinstance(value, str) else float(value)
