"""Where a passage stands: document, version, character range (RFC 5147)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Citation:
    """A passage of one version; it says the same for ever."""

    document_id: str
    version: int
    start: int
    end: int

    def __str__(self) -> str:
        return f"kb://documents/{self.document_id}/versions/{self.version}#char={self.start},{self.end}"
