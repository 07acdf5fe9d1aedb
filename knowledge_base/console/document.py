"""One document: text, metadata, access, versions, and the passage that a citation names."""

import asyncio
import re
from urllib.parse import quote, urlencode

from starlette.responses import Response

from common.console.page import HOME, Page, Visit
from common.errors import InvalidInput
from common.security.untrusted import untrusted
from knowledge_base.answers import document_entry, version_list
from knowledge_base.citations import Citation
from knowledge_base.console.passages import blocks
from knowledge_base.library import Library

MAX_TEXT = 200_000
"""Characters that one page shows."""
BEFORE = 2_000
"""Characters shown before a passage that stands further down."""
_RANGE = re.compile(r"(\d{1,9}),(\d{1,9})")


def document_page(library: Library) -> Page:
    """The page. What the visitor may not read is not found, as if it did not exist."""

    async def document(visit: Visit) -> Response:
        scope, document_id = visit.principal.scope, visit.request.path_params["id"]
        start, end = _range(visit.request.query_params.get("char", ""))
        number = version_number(visit.request.query_params.get("version"))
        found = await library.fetch(document_id, scope, number)
        history = await library.history(document_id, scope)
        # A passage far down is shown with what is around it; offsets are those of the whole text.
        first = max(0, start - BEFORE) if start > MAX_TEXT - BEFORE else 0
        first = found.text.rfind("\n", 0, first) + 1
        text = found.text[first : first + MAX_TEXT]
        version = found.version
        return visit.render(
            "document.html",
            document=document_entry(version),
            version=version,
            access=version.access,
            versions=version_list(document_id, history).items,
            blocks=await asyncio.to_thread(blocks, text, start - first, end - first),
            passage=str(Citation(document_id, version.version, start, end)) if end else None,
            citation=str(Citation(document_id, version.version)),
            is_cut=len(text) < len(found.text),
            suspicious=untrusted(text, 0).suspicious,
            address=address,
        )

    return Page("/documents/{id}", "Document", "console:documents", document, in_nav=False, recorded=True)


def address(document_id: str, version: int | None = None, start: int = 0, end: int = 0) -> str:
    """Where a document is shown, with a passage marked."""
    query = {"version": str(version)} if version else {}
    query |= {"char": f"{start},{end}"} if end else {}
    found = f"{HOME}/documents/{quote(document_id, safe='')}"
    return f"{found}{'?' + urlencode(query, safe=',') if query else ''}{'#passage' if end else ''}"


def _range(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    match = _RANGE.fullmatch(text)
    if not match:
        raise InvalidInput("The link to this passage is damaged.", "Use the link of a search result.")
    return int(match[1]), int(match[2])


def version_number(text: str | None) -> int | None:
    """The number in a link, if there is one. Raises InvalidInput."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
        raise InvalidInput("That is not the number of a version.", "Choose one from the list of versions.")
    return int(text)
