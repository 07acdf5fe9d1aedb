"""What the use cases need from the world; `adapters/` has one file for each real system."""

from collections.abc import Sequence
from typing import Protocol

from common.security.access import AccessScope
from knowledge_base.documents import (
    Accepted,
    Hit,
    IndexedChunk,
    NewDocument,
    ParsedDocument,
    Published,
    Vector,
    Version,
)


class Embedder(Protocol):
    """Turns text into unit vectors of one dimension."""

    dimension: int

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order."""

    async def close(self) -> None: ...


class ChunkIndex(Protocol):
    """Full-text and vector search over chunks. The access rule is part of each query."""

    async def add(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write all chunks in one commit; writing the same (document, version, number) again replaces it."""

    async def remove(self, tenant: str, document_id: str, keep_version: int | None = None) -> None:
        """Remove the chunks of a document, but for those of `keep_version`."""

    async def search_text(self, query: str, scope: AccessScope, limit: int) -> list[Hit]:
        """Best chunks by BM25, of those that the scope may read."""

    async def search_vector(self, vector: Vector, scope: AccessScope, limit: int) -> list[Hit]:
        """Nearest chunks by cosine, of those that the scope may read."""

    async def optimize(self) -> None:
        """Compact, bring the full-text index up to date, drop old table versions."""

    async def warm(self) -> None:
        """Load what the first query would have to wait for."""

    async def close(self) -> None: ...


class ObjectStore(Protocol):
    """Bytes under their own SHA-256; writing twice is harmless."""

    async def put(self, data: bytes) -> str:
        """Store and return the key (hex SHA-256)."""

    async def get(self, key: str) -> bytes:
        """The bytes; raises NotFound."""

    async def delete(self, key: str) -> None: ...


class Parser(Protocol):
    """Turns a file into Markdown text, and refuses what it cannot."""

    async def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Raises Refused with the reason."""

    async def close(self) -> None: ...


class Catalog(Protocol):
    """The one truth about which documents there are, in which version, and who may read them."""

    async def accept(
        self, document: NewDocument, object_key: str, created_by: AccessScope, batch: str, operator: bool = False
    ) -> Accepted:
        """Record a version and its ingest job in one transaction.

        Raises Conflict if the id belongs to a document that the caller may not read; an operator may replace any.
        """

    async def publish(self, versions: Sequence[Published]) -> list[Published]:
        """Make versions the current ones, all in one transaction; returns those that are (a newer one stays)."""

    async def version(self, tenant: str, document_id: str, version: int) -> Version:
        """A version without regard to rights, for the worker. Raises NotFound."""

    async def get(self, document_id: str, scope: AccessScope, version: int | None = None) -> Version:
        """A searchable version that the scope may read, by default the current one. Raises NotFound."""

    async def current(self, document_ids: Sequence[str], scope: AccessScope) -> dict[str, Version]:
        """The current versions of these documents, but for those that the scope may not read."""

    async def page(self, scope: AccessScope, limit: int, after: str = "") -> list[Version]:
        """Current versions by document id, from the one after `after`."""
