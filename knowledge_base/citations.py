"""Where a passage stands: document, version, character range (RFC 5147)."""

import re
from dataclasses import dataclass

from common.errors import InvalidInput

_FORM = re.compile(
    r"kb://documents/([A-Za-z0-9][A-Za-z0-9._~-]{0,127})/versions/(\d{1,9})(?:#char=(\d{1,9}),(\d{1,9}))?"
)


@dataclass(frozen=True)
class Citation:
    """A passage of one version; it says the same for ever."""

    document_id: str
    version: int
    start: int = 0
    end: int | None = None
    """None: to the end of the text."""

    def __str__(self) -> str:
        passage = "" if self.end is None else f"#char={self.start},{self.end}"
        return f"kb://documents/{self.document_id}/versions/{self.version}{passage}"


def parse_citation(text: str) -> Citation:
    """Read a citation as search gives it. Raises InvalidInput."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidInput("That is not a citation.", "Use the citation of a search result as it is.")
    document_id, version, start, end = match.groups()
    return Citation(document_id, int(version), int(start or 0), int(end) if end else None)
