"""What changed between two versions of a document."""

import asyncio

from starlette.responses import Response

from common.console.page import Page, Visit
from knowledge_base.answers import version_comparison, version_list
from knowledge_base.console.differences import rows
from knowledge_base.console.document import address, version_number
from knowledge_base.library import Library


def compare_page(library: Library) -> Page:
    """The page; by default it compares the newest version with the one before."""

    async def compare(visit: Visit) -> Response:
        scope, document_id = visit.principal.scope, visit.request.path_params["id"]
        history = await library.history(document_id, scope)
        query, newest = visit.request.query_params, history[0].version
        new = version_number(query.get("to")) or newest
        old = version_number(query.get("from")) or max(new - 1, 1)
        comparison = version_comparison(document_id, await library.compare(document_id, scope, old, new))
        return visit.render(
            "compare.html",
            document_id=document_id,
            title=history[0].title,
            comparison=comparison,
            rows=await asyncio.to_thread(rows, comparison.diff),
            versions=version_list(document_id, history).items,
            address=address,
        )

    return Page("/documents/{id}/compare", "Compare", "console:documents", compare, in_nav=False, recorded=True)
