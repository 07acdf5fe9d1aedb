"""What the use cases need from the world; `adapters/` has one file for each real system."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from common.errors import Conflict
from common.jobs import Job
from common.security.access import Access, AccessScope
from knowledge_base.browsing import BY_ID, Facets, Position, Sort
from knowledge_base.documents import (
    Accepted,
    Counting,
    FolderSource,
    Hit,
    IndexedChunk,
    KnownFile,
    ParsedDocument,
    Publication,
    Published,
    Stored,
    Validity,
    Vector,
    Version,
)
from knowledge_base.filters import Restriction


class Embedder(Protocol):
    """Turns text into unit vectors of one dimension."""

    dimension: int
    model: str
    """Vectors of two models cannot be compared."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order."""

    async def close(self) -> None: ...


class ChunkIndex(Protocol):
    """Full-text and vector search over chunks. The access rule is part of each query."""

    async def add(self, chunks: Sequence[IndexedChunk]) -> None:
        """Write all chunks in one commit; writing the same (document, version, number) again replaces it."""

    async def supersede(self, versions: Sequence[Validity]) -> None:
        """Note when the time of these versions ended."""

    async def set_access(self, tenant: str, document_id: str, access: Access) -> None:
        """Change who may read all chunks of a document."""

    async def remove(self, tenant: str, document_id: str, up_to: int) -> None:
        """Remove the chunks of a document up to this version."""

    async def search_text(self, query: str, restriction: Restriction, limit: int) -> list[Hit]:
        """Best chunks by BM25, of those that the restriction leaves."""

    async def search_vector(self, vector: Vector, restriction: Restriction, limit: int) -> list[Hit]:
        """Nearest chunks by cosine, likewise."""

    async def count(self) -> int:
        """Chunks of all tenants."""

    async def check(self) -> None:
        """Raises what keeps it from answering."""

    async def optimize(self) -> None:
        """Take what was removed off the disk, and bring all indices up to date."""

    async def tidy(self, at_once: bool) -> None:
        """Keep queries fast, if enough has changed; `at_once`: however little has. Queries and changes go on beside."""

    async def warm(self) -> None:
        """Load what the first query would have to wait for."""

    async def close(self) -> None: ...


@runtime_checkable
class BothAtOnce(Protocol):
    """What an index can do, too, if it is a server: one request instead of two."""

    async def search_both(
        self, query: str, vector: Vector, restriction: Restriction, limit: int
    ) -> tuple[list[Hit], list[Hit]]:
        """What `search_text` and `search_vector` find."""


@runtime_checkable
class Replaceable(Protocol):
    """An index that a copy can take the place of, while it answers."""

    async def rebuild(self) -> int:
        """Copy it, and let the copy answer from then on. Returns the number of chunks."""


class Reranker(Protocol):
    """Compares a question with passages directly. Optional: it is asked about the best ones only."""

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """How well each answers; more is better. Cancelling it is allowed at any time."""

    async def close(self) -> None: ...


class ObjectStore(Protocol):
    """Bytes under their own SHA-256, apart for each life of a document; writing twice is harmless."""

    async def put(self, data: bytes, tenant: str, document_id: str, life: int) -> str:
        """Store and return the key. No two documents or lives share an object, so that one can be erased."""

    async def get(self, key: str) -> bytes:
        """The bytes; raises NotFound."""

    async def erase(self, tenant: str, document_id: str, life: int) -> None:
        """Delete all objects of one life of a document, whoever put them."""


class Parser(Protocol):
    """Turns a file into Markdown text, and refuses what it cannot."""

    async def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Raises Refused with the reason."""

    async def close(self) -> None: ...


class SourceStore(Protocol):
    """Which folders are followed, and what was last seen of their files."""

    async def open(self) -> None:
        """Make the tables or collections that are missing."""

    async def register(self, source: FolderSource) -> FolderSource:
        """Remember a source; if there is one of that name, it is returned as it is."""

    async def registered(self) -> list[FolderSource]:
        """All sources of all tenants."""

    async def files(self, source: FolderSource) -> dict[str, KnownFile]:
        """What is known of its files, by path."""

    async def put(self, source: FolderSource, file: KnownFile) -> None:
        """Remember a file, or what changed of it."""

    async def drop(self, source: FolderSource, path: str) -> None:
        """Forget a file."""


class Catalog(Protocol):
    """The one truth about which documents there are, in which version, and who may read them."""

    async def open(self) -> None:
        """Make the tables or collections that are missing."""

    async def lives(self, tenant: str, document_ids: Sequence[str]) -> dict[str, int]:
        """The lives that these ids are in; those that were never deleted are left out."""

    async def accept(
        self, offered: Sequence[Stored], created_by: AccessScope, batch: str, operator: bool = False
    ) -> list[Accepted | Conflict | None]:
        """Record versions, each together with its ingest job; in SQL all of them in one transaction.

        Conflict if the id belongs to a document that the caller may not read; an operator may replace any. None if it
        was deleted since its bytes were stored, which belong to its next life now.
        """

    async def publish(self, published: Sequence[Published]) -> Publication:
        """Make versions count, each at once (in SQL all in one transaction); one that was deleted stays so."""

    async def set_access(self, document_id: str, access: Access, scope: AccessScope, batch: str, delay: float) -> Job:
        """Change who may read a document, and record the job that tells the index. Raises NotFound.

        The caller does that job; if he dies, a worker takes it up after `delay` seconds.
        """

    async def delete(self, document_id: str, scope: AccessScope, batch: str, operator: bool = False) -> None:
        """Hide a document from everyone, and record the job that erases it. Raises NotFound.

        An operator may delete what exists and the scope may not read.
        """

    async def forget(self, tenant: str, document_id: str, up_to: int) -> None:
        """Drop the versions of a deleted document."""

    async def latest(self, tenant: str, document_id: str) -> int:
        """Number of the newest version, published or not; 0 if there is none."""

    async def access(self, tenant: str, document_id: str) -> Access | None:
        """Who may read a document now; None if it is gone."""

    async def versions(self, wanted: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], Version]:
        """Versions (tenant, document id, number) without regard to rights; deleted ones are left out."""

    async def published(self, after: tuple[str, str, int] | None, limit: int) -> list[Version]:
        """All published versions of all tenants, without regard to rights, in the order of their keys."""

    async def adopt(self, versions: Sequence[Version], life: int) -> bool:
        """Take over a document with all its published versions as they are; False if there is one of that id."""

    async def get(self, document_id: str, scope: AccessScope, version: int | None = None) -> Version:
        """A published version that the scope may read, by default the current one. Raises NotFound."""

    async def history(self, document_id: str, scope: AccessScope) -> list[Version]:
        """All published versions of a document, newest first. Raises NotFound."""

    async def valid(self, document_ids: Sequence[str], restriction: Restriction) -> dict[str, Counting]:
        """Which version of each of these documents the restriction leaves, if any."""

    async def page(
        self, restriction: Restriction, limit: int, sort: Sort = BY_ID, after: Position | None = None
    ) -> list[tuple[Version, Position]]:
        """What the restriction leaves, in an order, from the one after a position."""

    async def facets(self, restriction: Restriction, fields: Sequence[str], top: int) -> Facets:
        """The metadata of what the restriction leaves: of these fields, by default the most frequent ones."""
