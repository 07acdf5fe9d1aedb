"""Order, pages and counts of a selection of versions, as aggregations. Names that callers chose are literals."""

from collections.abc import Sequence
from typing import Any

from knowledge_base.adapters.mongo_documents import readable
from knowledge_base.adapters.mongo_filter import NOTHING, OWN, satisfies
from knowledge_base.browsing import SORT_CHARS, Facet, Facets, Position, Sort
from knowledge_base.documents import MetadataValue
from knowledge_base.filters import OWN as OWN_TYPES
from knowledge_base.filters import Restriction

MAX_FIELDS = 30
Stages = list[dict[str, Any]]


def selection(restriction: Restriction, document_ids: Sequence[str] | None = None) -> Stages:
    """The version of each readable document that is current, or that was at a time, as `v`. Rights are those of now."""
    rights: Stages = [readable(scope) for scope in restriction.scopes]
    if document_ids is not None:
        rights.append({"id": {"$in": list(document_ids)}})
    filters = [restriction.where] if restriction.where is not None else []
    if (moment := restriction.as_of) is None:
        wanted = [satisfies(where, "current") for where in filters]
        return [{"$match": {"$and": [*rights, {"current": {"$ne": None}}, *wanted]}}, {"$set": {"v": "$current"}}]
    lasted = {"$or": [{"versions.superseded_at": None}, {"versions.superseded_at": {"$gt": moment}}]}
    time = [{"versions.published_at": {"$lte": moment, "$ne": None}}, lasted]
    wanted = [satisfies(where, "versions") for where in filters]
    unwound: Stages = [{"$unwind": "$versions"}, {"$match": {"$and": [*time, *wanted]}}]
    return [{"$match": {"$and": rights}}, *unwound, {"$set": {"v": "$versions"}}]


def page_of(sort: Sort, after: Position | None, limit: int) -> Stages:
    """What follows a selection: the rows in an order, from the one after a position."""
    rank, number, text = _own_columns(sort.field.name) if sort.field.own else _fact_columns()
    stages: Stages = [] if sort.field.own else [{"$set": {"s": _single_fact(sort.field.name)}}]
    stages.append({"$set": {"rank": rank, "number": number, "text": text}})
    tie_down = sort.descending and sort.field.name == "document_id"
    columns = [("rank", False), ("number", sort.descending), ("text", sort.descending), ("id", tie_down)]
    if after is not None:
        stages.append({"$match": _beyond(columns, after)})
    order = {name: -1 if down else 1 for name, down in columns}
    return [*stages, {"$sort": order}, {"$limit": limit}, {"$unset": ["versions", "outbox", "v.facts"]}]


def position_of(row: dict[str, Any]) -> Position:
    """Where a row of `page_of` stands."""
    return row["rank"], float(row["number"]), row["text"], row["id"]


def facets_of(fields: Sequence[str], top: int) -> Stages:
    """What follows a selection: counts of these fields, or of the most frequent ones."""
    kind = {"$cond": [{"$eq": ["$v.facts.t", "element"]}, "text", "$v.facts.t"]}
    value = {"_id": {"k": "$v.facts.k", "t": kind, "v": "$v.facts.v"}, "count": {"$sum": 1}}
    order = {"count": -1, "_id.t": 1, "_id.v": 1}
    best = {"n": top, "sortBy": order, "output": {"t": "$_id.t", "v": "$_id.v", "count": "$count"}}
    field = {"documents": {"$sum": "$first"}, "distinct": {"$sum": 1}, "total": {"$sum": "$count"}}
    chosen: Stages = [{"$match": {"v.facts.k": {"$in": list(fields)}}}] if fields else []
    return [
        {"$unwind": "$v.facts"},
        *chosen,
        {"$group": {**value, "first": {"$sum": {"$cond": ["$v.facts.f", 1, 0]}}}},
        {"$group": {"_id": "$_id.k", **field, "top": {"$topN": best}}},
        {"$sort": {"documents": -1, "_id": 1}},
        {"$limit": MAX_FIELDS},
    ]


def facets_from(total: int, rows: Sequence[dict[str, Any]]) -> Facets:
    """Answers of `facets_of`."""
    return Facets(total, [_facet(row) for row in rows])


def _facet(row: dict[str, Any]) -> Facet:
    values = [(_value(item["t"], item["v"]), item["count"]) for item in row["top"]]
    others = row["total"] - sum(count for _, count in values)
    return Facet(row["_id"], row["documents"], values, row["distinct"], others)


def _value(kind: str, value: Any) -> MetadataValue:
    if kind != "number":
        return str(value) if kind == "text" else bool(value)
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _own_columns(name: str) -> tuple[Any, Any, Any]:
    if OWN_TYPES[name] is str:
        return {"$literal": 2}, {"$literal": 0.0}, {"$substrCP": [f"$v.{OWN[name]}", 0, SORT_CHARS]}
    return {"$literal": 0}, f"$v.{OWN[name]}", {"$literal": ""}


def _single_fact(name: str) -> dict[str, Any]:
    wanted = {"$and": [{"$eq": ["$$fact.k", {"$literal": name}]}, {"$ne": ["$$fact.t", "element"]}]}
    return {"$first": {"$filter": {"input": "$v.facts", "as": "fact", "cond": wanted}}}


def _fact_columns() -> tuple[Any, Any, Any]:
    def is_a(kind: str) -> dict[str, Any]:
        return {"$eq": ["$s.t", kind]}

    ranks = [{"case": is_a(kind), "then": rank} for rank, kind in enumerate(("number", "flag", "text"))]
    number = [{"case": is_a("number"), "then": "$s.v"}, {"case": is_a("flag"), "then": {"$cond": ["$s.v", 1.0, 0.0]}}]
    text = {"$cond": [is_a("text"), {"$substrCP": ["$s.v", 0, SORT_CHARS]}, ""]}
    return {"$switch": {"branches": ranks, "default": 3}}, {"$switch": {"branches": number, "default": 0.0}}, text


def _beyond(columns: Sequence[tuple[str, bool]], after: Position) -> dict[str, Any]:
    """Rows after a position: by the first column, or if that is equal by the next one, and so on."""
    steps: Stages = []
    same: Stages = []
    for (name, down), value in zip(columns, after, strict=True):
        steps.append({"$and": [*same, {name: {"$lt" if down else "$gt": value}}]})
        same.append({name: {"$eq": value}})
    return {"$or": steps} if steps else NOTHING
