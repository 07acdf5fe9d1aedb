"""The documents that the visitor may read: filtered by facets, sorted, page by page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

from common.console.page import HOME, Page, Visit
from common.errors import InvalidInput
from knowledge_base.answers import document_entry
from knowledge_base.browsing import Facet
from knowledge_base.documents import MetadataValue
from knowledge_base.filter_syntax import parse_filter, parse_sort
from knowledge_base.library import Library

ADDRESS = f"{HOME}/documents"
PAGE = 25
SHOWN_FACETS = 6
TOP = 8
SORTS = {
    "title": "Title",
    "-published_at": "Newest first",
    "published_at": "Oldest first",
    "classification": "Least classified first",
    "-classification": "Most classified first",
    "document_id": "Id",
}
PREFIX = "is."


@dataclass(frozen=True)
class Choice:
    """A value of a facet: how many documents have it, and the list with it chosen, or no longer chosen."""

    value: MetadataValue
    documents: int
    address: str
    chosen: bool


def browse_page(library: Library) -> Page:
    """The page."""

    async def browse(visit: Visit) -> Response:
        query, scope = visit.request.query_params, visit.principal.scope
        chosen, sort = _chosen(query), query.get("sort", "title")
        where, order = parse_filter(chosen), parse_sort(sort)
        found, cursor = await library.page(scope, PAGE, query.get("cursor"), where, order)
        facets = await library.facets(scope, where=where, top=TOP)
        return visit.render(
            "documents.html",
            address=ADDRESS,
            documents=[document_entry(version) for version in found],
            total=facets.documents,
            facets=[(facet, _choices(facet, chosen, sort)) for facet in _useful(facets.fields, chosen)],
            chosen=[(name, value, _link(chosen, sort, name, None)) for name, value in chosen.items()],
            fields=[(PREFIX + name, _shown(value)) for name, value in chosen.items()],
            sort=sort,
            sorts=SORTS,
            is_first="cursor" not in query,
            first=_link(chosen, sort),
            next=_link(chosen, sort, cursor=cursor) if cursor else None,
        )

    return Page("/documents", "Documents", "console:documents", browse, order=10)


def _useful(fields: list[Facet], chosen: Mapping[str, MetadataValue]) -> list[Facet]:
    """What divides the documents, and is not as good as their titles."""
    useful = [facet for facet in fields if facet.field in chosen or 1 < facet.distinct < max(2, facet.documents * 0.8)]
    return useful[:SHOWN_FACETS]


def _choices(facet: Facet, chosen: Mapping[str, MetadataValue], sort: str) -> list[Choice]:
    choices = []
    for value, documents in facet.values:
        is_chosen = chosen.get(facet.field) == value
        link = _link(chosen, sort, facet.field, None if is_chosen else value)
        choices.append(Choice(value, documents, link, is_chosen))
    return choices


def _chosen(query: QueryParams) -> dict[str, MetadataValue]:
    """Filters such as `is.department=finance`; a number is written `is.year=n:2026`, a boolean `b:true`."""
    return {name.removeprefix(PREFIX): _value(text) for name, text in query.items() if name.startswith(PREFIX)}


def _value(text: str) -> MetadataValue:
    kind, _, rest = text.partition(":")
    try:
        if kind == "n":
            return float(rest) if "." in rest or "e" in rest else int(rest)
        if kind == "b":
            return {"true": True, "false": False}[rest]
    except (ValueError, KeyError):
        raise InvalidInput("The filter in this link is damaged.", "Start again from all documents.") from None
    return rest if kind == "t" else text


def _shown(value: Any) -> str:
    """The value as `_value` reads it."""
    if isinstance(value, bool):
        return f"b:{str(value).lower()}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return f"n:{value!r}" if isinstance(value, int | float) else f"t:{value}"


def _link(
    chosen: Mapping[str, MetadataValue],
    sort: str,
    field: str | None = None,
    value: MetadataValue | None = None,
    cursor: str | None = None,
) -> str:
    """The list with one filter set or taken away, from its first page on unless a cursor is given."""
    wanted = {name: each for name, each in chosen.items() if name != field}
    if field is not None and value is not None:
        wanted[field] = value
    pairs = [(PREFIX + name, _shown(each)) for name, each in wanted.items()] + [("sort", sort)]
    return f"{ADDRESS}?{urlencode([*pairs, *([('cursor', cursor)] if cursor else [])])}"
