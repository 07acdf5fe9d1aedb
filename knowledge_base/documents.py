"""What the knowledge base is about: documents, their chunks, and hits."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from common.files import FileState
from common.security.access import Access

MetadataValue = str | int | float | bool | list[str]
Metadata = Mapping[str, MetadataValue]
FOLDER = "folder"
"""Metadata of a file that was taken in from a folder: which one that was."""
Vector = Any
"""A numpy float32 array of unit length."""


@dataclass(frozen=True)
class ParsedDocument:
    """A file as Markdown text; `title` is empty if the file names none."""

    title: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """A passage: `text` is `document text[start:end]`, `section` the headings above it joined by ` > `."""

    number: int
    section: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class IndexedChunk:
    """A chunk with all that a query needs to filter and show it."""

    tenant: str
    document_id: str
    version: int
    title: str
    chunk: Chunk
    access: Access
    metadata: Metadata = field(default_factory=dict)
    vector: Vector = None
    published_at: float = 0.0


@dataclass(frozen=True)
class Hit:
    """A chunk that a query found; `score` is higher for a better one, its scale the leg's own."""

    document_id: str
    version: int
    title: str
    section: str
    text: str
    number: int
    start: int
    end: int
    score: float
    metadata: Metadata
    vector: Vector = field(default=None, repr=False, compare=False)
    """Comes with what full text found, if the index can: its cosine is then known, too."""


@dataclass(frozen=True)
class NewDocument:
    """A document as it was handed in; `name` says by its suffix what `data` is."""

    tenant: str
    document_id: str
    name: str
    data: bytes
    access: Access
    title: str = ""
    metadata: Metadata = field(default_factory=dict)
    created_at: float | None = None
    """When it was written, in seconds since 1970; default: now. Only an operator may say otherwise."""
    keeps_access: bool = False
    """As a new version it must have the access that the document has."""
    access_is_default: bool = False
    """Nobody chose `access`: it is for a new document, and one that is there keeps what it has by then."""
    keeps_folder: bool = False
    """As a new version it must have the metadata `folder` that the document has, if that has any."""


@dataclass(frozen=True)
class Version:
    """One version of a document, as the catalogue has it."""

    tenant: str
    document_id: str
    version: int
    title: str
    name: str
    object_key: str
    text_key: str | None
    access: Access
    metadata: Metadata
    created_at: float
    created_by: str
    published_at: float | None
    superseded_at: float | None
    is_current: bool


class Counting(NamedTuple):
    """The version of a document that counts for a question."""

    version: int
    published_at: float
    is_current: bool


@dataclass(frozen=True)
class Stored:
    """A document whose bytes are in the object store, on its way into the catalogue.

    An id that is used again after a deletion begins another life, with objects of its own: erasing the earlier one
    may take its time. Lives are numbered by the last version that was deleted.
    """

    document: NewDocument
    object_key: str
    life: int


@dataclass(frozen=True)
class Accepted:
    """What became of a document that was handed in; `batch` is None if nothing had changed."""

    document_id: str
    version: int
    batch: str | None


@dataclass(frozen=True)
class Published:
    """A version whose chunks are in the index."""

    tenant: str
    document_id: str
    version: int
    title: str
    text_key: str
    at: float
    """From when on it counts, in seconds since 1970."""


@dataclass(frozen=True)
class Validity:
    """A version whose time ended, and when."""

    tenant: str
    document_id: str
    version: int
    superseded_at: float


@dataclass(frozen=True)
class Publication:
    """What publishing came to; `rights` are in the order that was asked for, None for a document that was deleted."""

    ended: list[Validity]
    rights: list[Access | None]


@dataclass(frozen=True)
class Task:
    """What a job is to do with a document."""

    kind: Literal["ingest", "access", "erase"]
    document_id: str
    version: int = 0
    name: str = ""
    life: int = 0

    @property
    def payload(self) -> dict[str, Any]:
        """As it is stored in the job."""
        return asdict(self)


@dataclass(frozen=True)
class FolderSource:
    """A folder whose files are followed; `owner` registered it."""

    tenant: str
    name: str
    root: str
    access: Access
    owner: str

    @property
    def subject(self) -> str:
        """Who wrote the versions that come from it."""
        return f"source:{self.name}"


@dataclass(frozen=True)
class KnownFile:
    """A file of a source when it was last taken in; `digest` is empty while that is under way."""

    path: str
    state: FileState
    digest: str
    checked_at: float
    document_ids: tuple[str, ...]
