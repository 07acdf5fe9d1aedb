"""What the index in Elasticsearch looks like, and how a chunk goes in and comes out."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from knowledge_base.adapters.elastic_filter import facts
from knowledge_base.chunking import embedding_text
from knowledge_base.documents import Hit, IndexedChunk, Vector
from knowledge_base.stop_words import STOP_WORDS

if TYPE_CHECKING:
    import numpy

SHAPE = 2
"""Of the mapping. An index of another one has to be built again."""
SHOWN = ["document_id", "version", "title", "section", "text", "number", "start", "end", "metadata"]
_MAX_TITLE = 8_000
"""Characters up to which a title can be filtered by; a term has at most 32,766 bytes."""

_KEYWORD = {"type": "keyword"}
_KEPT = {"index": False, "doc_values": False}
# Shown only, and read by the field `body`.
_PART_OF_BODY = {"type": "text", "index": False, "copy_to": "body"}


def index_name(prefix: str, model: str, dimension: int) -> str:
    """Name of the alias for the vectors of one model: those of two models are never in one index."""
    return f"{prefix}-{re.sub('[^a-z0-9]+', '-', model.lower()).strip('-')}-{dimension}"


def template(dimension: int) -> dict[str, Any]:
    """Settings and mapping. A field that is not named here is refused, not guessed."""
    return {
        "settings": {
            "number_of_shards": 1,
            "auto_expand_replicas": "0-1",
            # Erasing is merging away what was deleted, however little it is.
            "merge.policy.expunge_deletes_allowed": 0,
            "analysis": _ANALYSIS,
        },
        "mappings": {
            "dynamic": "strict",
            "_meta": {"shape": SHAPE, "dimension": dimension},
            "properties": {
                **dict.fromkeys(("tenant", "document_id", "readers", "facts"), _KEYWORD),
                **dict.fromkeys(("version", "level"), {"type": "integer"}),
                **dict.fromkeys(("published_at", "superseded_at"), {"type": "double"}),
                "current": {"type": "boolean"},
                "title": {"type": "keyword", "ignore_above": _MAX_TITLE},
                **dict.fromkeys(("number", "start", "end"), {"type": "integer", **_KEPT}),
                **dict.fromkeys(("section", "metadata"), {"type": "keyword", **_KEPT}),
                "heading": _PART_OF_BODY,
                "text": _PART_OF_BODY,
                "body": {"type": "text", "analyzer": "body"},
                "vector": {
                    "type": "dense_vector",
                    "dims": dimension,
                    "similarity": "cosine",
                    "index": True,
                    "index_options": {"type": "int8_hnsw", "m": 16, "ef_construction": 100},
                },
                "half": {"type": "binary"},
            },
        },
    }


# The same as the embedded index does, in the same order.
_ANALYSIS = {
    "filter": {
        "body_possessive": {"type": "stemmer", "language": "possessive_english"},
        "body_stemmer": {"type": "stemmer", "language": "porter2"},
        "body_stop": {"type": "stop", "stopwords": sorted(STOP_WORDS)},
    },
    "analyzer": {
        "body": {
            "type": "custom",
            "tokenizer": "standard",
            "filter": ["body_possessive", "lowercase", "asciifolding", "body_stemmer", "body_stop"],
        }
    },
}


def chunk_id(chunk: IndexedChunk) -> str:
    """The same for the same tenant, document, version and number."""
    key = json.dumps([chunk.tenant, chunk.document_id, chunk.version, chunk.chunk.number])
    return hashlib.sha256(key.encode()).hexdigest()


def source(chunk: IndexedChunk) -> dict[str, Any]:
    """A chunk as it is written."""
    import numpy as np

    part = chunk.chunk
    vector = np.asarray(chunk.vector, np.float32)
    return {
        "tenant": chunk.tenant,
        "document_id": chunk.document_id,
        "version": chunk.version,
        "number": part.number,
        "title": chunk.title,
        "section": part.section,
        "heading": embedding_text(chunk.title, replace(part, text="")),
        "text": part.text,
        "start": part.start,
        "end": part.end,
        "metadata": json.dumps(dict(chunk.metadata)),
        "facts": facts(chunk.metadata),
        "published_at": chunk.published_at,
        "current": True,
        **rights(chunk.access.level, chunk.access.readers),
        "vector": vector,
        "half": base64.b64encode(vector.astype("<f2").tobytes()).decode(),
    }


def rights(level: int, readers: Sequence[str]) -> dict[str, Any]:
    """Who may read a chunk, as it is written."""
    return {"level": level, "readers": readers}


def hits(found: Sequence[dict[str, Any]], cosine: bool) -> list[Hit]:
    """What a search found; the score of a vector search is between 0 and 1, and the cosine is wanted."""
    vectors = halves([hit["_source"].pop("half", None) for hit in found])
    each = zip(found, vectors, strict=True)
    listed = [_hit(hit["_source"], 2 * hit["_score"] - 1 if cosine else hit["_score"], vector) for hit, vector in each]
    # Equal scores come back in any order; pages of one question must not.
    return sorted(listed, key=lambda hit: (-hit.score, hit.document_id, hit.version, hit.number))


def halves(stored: Sequence[str | None]) -> "Sequence[Vector] | numpy.ndarray":
    """Vectors in half precision, which is 0.8 kB each instead of 5 kB of JSON; good for cosines to four digits."""
    import numpy as np

    if not stored or stored[0] is None:
        return [None] * len(stored)
    data = b"".join(base64.b64decode(text) for text in stored if text is not None)
    return np.frombuffer(data, "<f2").astype(np.float32).reshape(len(stored), -1)


def _hit(row: dict[str, Any], score: float, vector: Vector) -> Hit:
    metadata = json.loads(row.pop("metadata"))
    return Hit(**row, score=score, metadata=metadata, vector=vector)
