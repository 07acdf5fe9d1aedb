"""The search playground: why an answer stands where it stands, and what another person would find.

A preview as another person shows what that person *and* the visitor may read, so it opens nothing to the visitor.
Policy decides who may ask for one, and each is audited before it runs.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast, get_args

from starlette.datastructures import QueryParams
from starlette.responses import Response

from common.console.page import HOME, Page, Visit
from common.console.recording import recorded
from common.errors import Denied, InvalidInput
from common.security.access import LEVELS, AccessScope
from common.settings import Classification
from knowledge_base.answers import is_stale
from knowledge_base.citations import parse_citation
from knowledge_base.console.document import address
from knowledge_base.explanation import Explanation
from knowledge_base.filter_syntax import parse_filter
from knowledge_base.filters import Filter, Restriction
from knowledge_base.search import Mode, Search

ADDRESS = f"{HOME}/search"
PREVIEW = "console:preview"
LIMIT = 20
MAX_QUERY = 2000
STEPS = {
    "embedding": "Embedding of the query",
    "vector": "Vector search",
    "text": "Full text search",
    "both": "Vector and full text search",
    "catalogue": "Catalogue: rights and versions",
    "fusion": "Joining the lists",
    "reranking": "Reranking",
    "all": "Together",
}


@dataclass(frozen=True)
class Asked:
    """The form as it was sent."""

    q: str = ""
    mode: str = "hybrid"
    filters: str = ""
    as_of: str = ""
    preview: bool = False
    name: str = ""
    groups: str = ""
    clearance: str = "public"


def playground_page(search: Search) -> Page:
    """The page."""

    async def playground(visit: Visit) -> Response:
        asked, may_preview = _asked(visit.request.query_params), visit.runtime.policy.allows(visit.principal, PREVIEW)
        values: dict[str, Any] = {
            "address": ADDRESS,
            "asked": asked,
            "modes": get_args(Mode),
            "levels": list(LEVELS),
            "may_preview": may_preview,
            "steps": STEPS,
            "found": None,
            "problem": "",
        }
        if asked.preview and not may_preview:
            raise Denied("Your roles do not allow a preview as another person.", "Search as yourself.")
        if not asked.q:
            return visit.render("playground.html", **values)
        try:
            found = await _explained(search, visit, asked)
        except InvalidInput as error:
            return visit.render("playground.html", 400, **values | {"problem": str(error)})
        return visit.render("playground.html", **values | {"found": found}, **_shown(found))

    return Page("/search", "Search", "console:search", playground, order=11, recorded=True)


def _asked(query: QueryParams) -> Asked:
    given = {name: query[name].strip() for name in ("q", "mode", "filters", "as_of", "name", "groups") if name in query}
    clearance = query.get("clearance", "public")
    return Asked(**given, preview=query.get("preview") == "on", clearance=clearance)


async def _explained(search: Search, visit: Visit, asked: Asked) -> Explanation:
    if asked.mode not in get_args(Mode):
        raise InvalidInput("There is no such mode.", f"Choose one of {', '.join(get_args(Mode))}.")
    if len(asked.q) > MAX_QUERY:
        raise InvalidInput(f"The question is longer than {MAX_QUERY} characters.", "Ask it more briefly.")
    mode, where, moment = cast(Mode, asked.mode), _filter(asked.filters), _moment(asked.as_of)
    scope = visit.principal.scope
    if not asked.preview:
        return await search.explain(asked.q, Restriction(scope, moment, where), LIMIT, mode)
    also = _pretended(visit, asked)
    detail = {"as": also.subject, "groups": sorted(also.groups), "clearance": also.clearance, "query": asked.q}
    async with recorded(visit.runtime, visit.principal, PREVIEW, {"arguments": detail}, durable=True):
        return await search.explain(asked.q, Restriction(scope, moment, where, also), LIMIT, mode)


def _pretended(visit: Visit, asked: Asked) -> AccessScope:
    """Somebody of the visitor's own tenant."""
    if asked.clearance not in LEVELS:
        raise InvalidInput("There is no such clearance.", f"Choose one of {', '.join(LEVELS)}.")
    groups = frozenset(part for part in re.split(r"[,\s]+", asked.groups) if part)
    return AccessScope(visit.principal.tenant, asked.name, groups, cast(Classification, asked.clearance))


def _filter(text: str) -> Filter | None:
    if not text:
        return None
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise InvalidInput("The filter is not a JSON object.", 'Write it as {"department": "finance"}.')
    return parse_filter(given)


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput("That is not a time.", "Write it as 2025-06-30T12:00, in UTC.") from None


def _shown(found: Explanation) -> dict[str, Any]:
    """What the template needs for each answer."""
    rows = []
    for each in found.items:
        citation = parse_citation(each.item.citation)
        link = address(citation.document_id, citation.version, citation.start, citation.end or 0)
        stale = is_stale(each.item.metadata)
        rows.append({"item": each.item, "places": each.places, "link": link, "stale": stale})
        rows[-1]["pieces"] = _pieces(each.item.snippet)
    return {"rows": rows}


def _pieces(text: str) -> list[tuple[str, bool]]:
    """The snippet, with what stands between asterisks told apart."""
    parts = enumerate(text.split("**"))
    return [(part, number % 2 == 1) for number, part in parts if part]
