"""Joins ranked lists."""

from collections.abc import Sequence

from knowledge_base.documents import Hit

RRF_K = 60
"""Constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""


def best_chunks(hits: Sequence[Hit]) -> list[Hit]:
    """The best chunk of each document, in order."""
    seen: dict[str, Hit] = {}
    for hit in hits:
        seen.setdefault(hit.document_id, hit)
    return list(seen.values())


def reciprocal_rank_fusion(legs: Sequence[Sequence[Hit]], k: int = RRF_K) -> list[tuple[Hit, float]]:
    """Documents by the sum of 1 / (k + rank) over the lists, with the hit of the list that ranked them best."""
    scores: dict[str, float] = {}
    best: dict[str, tuple[int, Hit]] = {}
    for leg in legs:
        for rank, hit in enumerate(best_chunks(leg), start=1):
            scores[hit.document_id] = scores.get(hit.document_id, 0.0) + 1 / (k + rank)
            if hit.document_id not in best or rank < best[hit.document_id][0]:
                best[hit.document_id] = (rank, hit)
    # The id breaks ties, so that pages of one answer never overlap.
    ordered = sorted(scores, key=lambda document_id: (-scores[document_id], document_id))
    return [(best[document_id][1], scores[document_id]) for document_id in ordered]
