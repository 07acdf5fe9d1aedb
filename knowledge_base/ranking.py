"""Joins what full text and vectors found into one list of documents."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from knowledge_base.documents import Hit, Vector

Lists = Mapping[str, Sequence[Hit]]
"""Chunks that each kind of search found, best first, by its name: `text`, `vector`."""
Ranked = list[tuple[Hit, float]]
"""Documents, best first: the chunk that speaks for each, and its score."""
Fusion = Callable[[Lists, Vector], Ranked]
"""Joins the lists; the vector is that of the query, None if it was not needed."""

RRF_K = 60
"""Constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""
VECTOR_WEIGHT = 0.75
"""Share of the cosine in a convex combination; see ADR 4."""
LEAST = {"text": 0.0, "vector": -1.0}
"""What a BM25 score and a cosine are at least."""

_Key = tuple[str, int, int]


def best_chunks(hits: Iterable[Hit]) -> list[Hit]:
    """The best chunk of each document, in order."""
    seen: dict[str, Hit] = {}
    for hit in hits:
        seen.setdefault(hit.document_id, hit)
    return list(seen.values())


def reciprocal_rank_fusion(lists: Lists, query: Vector = None, k: int = RRF_K) -> Ranked:
    """Documents by the sum of 1 / (k + rank) over the lists, with the hit of the list that ranked them best."""
    scores: dict[str, float] = {}
    best: dict[str, tuple[int, Hit]] = {}
    for hits in lists.values():
        for rank, hit in enumerate(best_chunks(hits), start=1):
            scores[hit.document_id] = scores.get(hit.document_id, 0.0) + 1 / (k + rank)
            if hit.document_id not in best or rank < best[hit.document_id][0]:
                best[hit.document_id] = (rank, hit)
    # The id breaks ties, so that pages of one answer never overlap.
    ordered = sorted(scores, key=lambda document_id: (-scores[document_id], document_id))
    return [(best[document_id][1], scores[document_id]) for document_id in ordered]


def convex_combination(lists: Lists, query: Vector = None, vector_weight: float = VECTOR_WEIGHT) -> Ranked:
    """Documents by their best chunk; a chunk by the weighted sum of its scores, each scaled to [0, 1].

    0 is the least that a score can be, 1 the best of this answer (TM2C2 of Bruch, Gai and Ingber, "An Analysis of
    Fusion Functions for Hybrid Retrieval", TOIS 2023). A chunk that only full text found has its cosine computed, if
    its vector came along; a score that is not known counts as the least.
    """
    weights = {"text": 1 - vector_weight, "vector": vector_weight} if len(lists) > 1 else dict.fromkeys(lists, 1.0)
    known = {name: {_key(hit): hit.score for hit in hits} for name, hits in lists.items()}
    if len(lists) > 1:
        known["vector"] = _cosines(lists["text"], query) | known["vector"]
    chunks = {_key(hit): hit for hits in lists.values() for hit in hits}
    scaled = {name: _scaled(scores, LEAST[name]) for name, scores in known.items()}
    total = {key: sum(weights[name] * scaled[name].get(key, 0.0) for name in scaled) for key in chunks}
    ordered = sorted(chunks, key=lambda key: (-total[key], key))
    return [(hit, total[_key(hit)]) for hit in best_chunks(chunks[key] for key in ordered)]


def _cosines(hits: Sequence[Hit], query: Vector) -> dict[_Key, float]:
    return {_key(hit): float(hit.vector @ query) for hit in hits if hit.vector is not None and query is not None}


def _scaled(scores: Mapping[_Key, float], least: float) -> dict[_Key, float]:
    span = max(scores.values(), default=least) - least
    return {key: (score - least) / span if span > 0 else 0.0 for key, score in scores.items()}


def _key(hit: Hit) -> _Key:
    return hit.document_id, hit.version, hit.number
