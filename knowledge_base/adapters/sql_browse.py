"""Order, pages and counts of a selection of versions."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, case, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from knowledge_base.adapters.sql_filter import ORDERED, facts, of_version
from knowledge_base.adapters.sql_tables import versions
from knowledge_base.browsing import SORT_CHARS, Facet, Facets, Position, Sort
from knowledge_base.documents import MetadataValue
from knowledge_base.filters import OWN as OWN_TYPES

MAX_FIELDS = 30
_RANK, _NUMBER, _TEXT = "sort_rank", "sort_number", "sort_text"


def page_of(found: Select[Any], sort: Sort, after: Position | None, limit: int) -> Select[Any]:
    """The rows of `found` in an order, from the one after a position."""
    if sort.field.own:
        rank, number, text = _own_columns(sort.field.name)
    else:
        # Under a name of its own: the conditions of a filter are about other rows of the same table.
        value = facts.alias("sorted_by").c
        single = (value.key == sort.field.name) & (value.kind != "element")
        found = found.outerjoin(value.key.table, of_version(value.key.table) & single)
        rank = case((value.kind == "number", 0), (value.kind == "flag", 1), (value.kind == "text", 2), else_=3)
        number = func.coalesce(value.number, 0.0)
        text = func.coalesce(func.substr(value.text, 1, SORT_CHARS), "")
    columns = [(rank, False), (number, sort.descending), (text, sort.descending), _tie(sort)]
    found = found.add_columns(rank.label(_RANK), number.label(_NUMBER), text.label(_TEXT))
    if after is not None:
        found = found.where(_beyond(columns, after))
    return found.order_by(*(column.desc() if down else column for column, down in columns)).limit(limit)


def position_of(row: RowMapping) -> Position:
    """Where a row of `page_of` stands."""
    return row[_RANK], float(row[_NUMBER]), row[_TEXT], row["document_id"]


async def facets_of(connection: AsyncConnection, found: Select[Any], fields: Sequence[str], top: int) -> Facets:
    """Counts over the rows of `found`: of these fields, or of the most frequent ones."""
    chosen = found.with_only_columns(versions.c.tenant, versions.c.document_id, versions.c.version).subquery()
    total = (await connection.execute(select(func.count()).select_from(chosen))).scalar_one()
    mine = select(facts).join(chosen, of_version(facts, chosen))
    if fields:
        mine = mine.where(facts.c.key.in_(fields))
    values = mine.subquery()
    having = func.count(values.c.document_id.distinct())
    counted = select(values.c.key, having).group_by(values.c.key).order_by(having.desc(), values.c.key)
    documents = {row[0]: row[1] for row in await connection.execute(counted.limit(MAX_FIELDS))}
    rows = (await connection.execute(_top_values(values, list(documents), top))).mappings().all()
    by_key = {key: list(group) for key, group in groupby(rows, key=lambda row: row["key"])}
    return Facets(total, [_facet(key, count, by_key[key]) for key, count in documents.items()])


def _top_values(values: Any, keys: Sequence[str], top: int) -> Select[Any]:
    # An element of a list and a text of its own are one value.
    kind = case((values.c.kind == "element", "text"), else_=values.c.kind).label("kind")
    count = func.count(values.c.document_id.distinct()).label("count")
    grouped = select(values.c.key, kind, values.c.text, values.c.number, count).where(values.c.key.in_(keys))
    each = grouped.group_by(values.c.key, kind, values.c.text, values.c.number).subquery()
    order = (each.c["count"].desc(), each.c.kind, each.c.number, each.c.text)
    ranked = select(
        each,
        func.row_number().over(partition_by=each.c.key, order_by=order).label("place"),
        func.count().over(partition_by=each.c.key).label("distinct"),
        func.sum(each.c["count"]).over(partition_by=each.c.key).label("total"),
    ).subquery()
    return select(ranked).where(ranked.c.place <= top).order_by(ranked.c.key, ranked.c.place)


def _facet(key: str, documents: int, rows: Sequence[RowMapping]) -> Facet:
    values = [(_value(row), row["count"]) for row in rows]
    others = int(rows[0]["total"]) - sum(count for _, count in values)
    return Facet(key, documents, values, rows[0]["distinct"], others)


def _value(row: RowMapping) -> MetadataValue:
    if row["kind"] == "text":
        return str(row["text"])
    if row["kind"] == "flag":
        return bool(row["number"])
    number = float(row["number"])
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _own_columns(name: str) -> tuple[ColumnElement[Any], ColumnElement[Any], ColumnElement[Any]]:
    if OWN_TYPES[name] is str:
        return literal(2), literal(0.0), func.substr(ORDERED[name], 1, SORT_CHARS)
    return literal(0), ORDERED[name], literal("")


def _tie(sort: Sort) -> tuple[ColumnElement[Any], bool]:
    return ORDERED["document_id"], sort.descending and sort.field.name == "document_id"


def _beyond(columns: Sequence[tuple[ColumnElement[Any], bool]], after: Position) -> ColumnElement[bool]:
    """Rows after a position: by the first column, or if that is equal by the next one, and so on."""
    steps: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for (column, down), value in zip(columns, after, strict=True):
        steps.append(and_(*same, column < value if down else column > value))
        same.append(column == value)
    return or_(*steps)
