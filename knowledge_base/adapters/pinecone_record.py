"""A chunk as a record of Pinecone, and a match as a hit."""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.files import Refused
from common.security.access import Access
from knowledge_base.adapters.pinecone_filter import SHAPE, STILL, Clause, facts, text_numbers
from knowledge_base.adapters.sparse_words import text_weights
from knowledge_base.chunking import embedding_text
from knowledge_base.documents import Hit, IndexedChunk, Vector

if TYPE_CHECKING:
    from pinecone import ScoredVector

MAX_METADATA = 40_000
"""Bytes of a record's metadata; Pinecone takes 40 KB."""
Record = dict[str, Any]


def namespace(model: str, tenant: str) -> str:
    """Each tenant has a namespace for each model: the vectors of two cannot be compared."""
    return f"{models_part(model)}{_digest([tenant])[:32]}"


def models_part(model: str) -> str:
    """What the namespaces of a model begin with."""
    return f"{_digest([model])[:8]}-"


def record(chunk: IndexedChunk) -> Record:
    """A chunk as it is written."""
    part, tenant, document_id = chunk.chunk, chunk.tenant, chunk.document_id
    metadata = {
        "shape": SHAPE,
        **_of_document(tenant, document_id),
        "version": chunk.version,
        "number": part.number,
        "title": chunk.title,
        "section": part.section,
        "start": part.start,
        "end": part.end,
        "metadata": json.dumps(dict(chunk.metadata)),
        "published_at": chunk.published_at,
        "superseded_at": STILL,
        **text_numbers("document_id", document_id),
        **text_numbers("title", chunk.title),
        **facts(chunk.metadata),
        **rights(chunk.access),
        "text": part.text,
    }
    found: Record = {
        "id": _digest([tenant, document_id, chunk.version, part.number]),
        "values": [float(value) for value in chunk.vector],
        "metadata": _fitting(metadata),
    }
    if words := text_weights(embedding_text(chunk.title, part)):
        found["sparse_values"] = sparse(words)
    return found


def rights(access: Access) -> Clause:
    """Who may read a chunk, as it is written; `rights` is their mark, by which a change is seen to have arrived."""
    found = {"level": access.level, "readers": access.readers}
    if _size(found) > MAX_METADATA // 2:
        raise Refused("More groups and owners may read it than this search index can hold.")
    return {**found, "rights": _digest([access.level, access.readers])}


def of_document(tenant: str, document_id: str) -> list[Clause]:
    """The chunks of a document."""
    return [{name: {"$eq": value}} for name, value in _of_document(tenant, document_id).items()]


def sparse(weights: dict[int, float]) -> Record:
    """As Pinecone writes a sparse vector."""
    return {"indices": list(weights), "values": list(weights.values())}


def hits(matches: "Sequence[ScoredVector]", with_vectors: bool = False) -> list[Hit]:
    """What a query found. Equal scores come back in any order; pages of one question must not."""
    found = [_hit(match, with_vectors) for match in matches]
    return sorted(found, key=lambda hit: (-hit.score, hit.document_id, hit.version, hit.number))


def _hit(match: "ScoredVector", with_vectors: bool) -> Hit:
    found: Any = match.metadata
    version, number, start, end = (int(found[name]) for name in ("version", "number", "start", "end"))
    return Hit(
        document_id=found["document_id"],
        version=version,
        title=found["title"],
        section=found["section"],
        text=found["text"],
        number=number,
        start=start,
        end=end,
        score=match.score,
        metadata=json.loads(found["metadata"]),
        vector=_array(match.values) if with_vectors else None,
    )


def _array(values: Sequence[float]) -> Vector:
    import numpy as np

    return np.asarray(values, np.float32) if values else None


def _of_document(tenant: str, document_id: str) -> dict[str, str]:
    return {"tenant": tenant, "document_id": document_id}


def _fitting(metadata: Clause) -> Clause:
    """With as much of the passage as there is room for; rights and what filters ask for must be whole."""
    room = MAX_METADATA - _size({**metadata, "text": ""})
    if room < 0:
        raise Refused("Its metadata is larger than this search index can hold.")
    text = metadata["text"]
    while (size := _size(text)) > room + 2:
        text = text[: max(0, len(text) - 1 - (size - room) // 6)]
    return {**metadata, "text": text}


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
