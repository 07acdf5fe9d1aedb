"""How well a ranked list answers a question whose answers are known."""

import math
from collections.abc import Mapping, Sequence

Gains = Mapping[str, float]
"""Gain of each document that was judged; all others have none."""


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def ndcg(ranked: Sequence[str], gains: Gains, depth: int = 10) -> float:
    """Normalised discounted cumulative gain, linear in the gain; the ideal list has all judged documents."""
    ideal = _discounted(sorted((gain for gain in gains.values() if gain > 0), reverse=True)[:depth])
    return _discounted([gains.get(document, 0.0) for document in ranked[:depth]]) / ideal if ideal else 0.0


def recall(ranked: Sequence[str], gains: Gains, depth: int = 100) -> float:
    """Share of the relevant documents that are among the first."""
    relevant = {document for document, gain in gains.items() if gain > 0}
    return len(relevant & set(ranked[:depth])) / len(relevant) if relevant else 0.0
