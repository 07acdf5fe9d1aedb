"""Which way to join full text and vectors is best: chosen on one half of the questions, judged on the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from knowledge_base.documents import Hit, Vector
from knowledge_base.ranking import LEAST, Lists, Ranked, convex_combination, reciprocal_rank_fusion
from tests.benchmarks.collection import Collection
from tests.benchmarks.quality import ndcg, recall
from tests.benchmarks.result import Table

if TYPE_CHECKING:
    import numpy as np

WEIGHTS = [round(step / 20, 2) for step in range(1, 20)]
RESAMPLES = 20_000
SHIPPED = "convex, missing cosines computed"
Weighted = Callable[[Lists, Vector, float], Ranked]


@dataclass(frozen=True)
class Asked:
    """What both kinds of search found for a question."""

    lists: Lists
    vector: Vector


@dataclass(frozen=True)
class Judged:
    """nDCG@10 and recall@100 of each question, by a fusion whose weight the other half chose."""

    name: str
    chosen: str
    ndcg: "np.ndarray"
    recall: float


def with_least(lists: Lists, query: Vector, weight: float) -> Ranked:
    """As `convex_combination`, but a chunk that only full text found has the least cosine."""
    bare = {name: [replace(hit, vector=None) for hit in hits] for name, hits in lists.items()}
    return convex_combination(bare, query, weight)


def min_max(lists: Lists, query: Vector, weight: float) -> Ranked:
    """As `with_least`, but the last score of each list counts as the least."""
    return with_least({name: _stretched(hits, LEAST[name]) for name, hits in lists.items()}, query, weight)


def _stretched(hits: Sequence[Hit], least: float) -> list[Hit]:
    """From `least` to 1."""
    if not hits:
        return []
    low, span = hits[-1].score, hits[0].score - hits[-1].score or 1.0
    return [replace(hit, score=least + (1 - least) * (hit.score - low) / span) for hit in hits]


def cross_validated(asked: Mapping[int, Asked], collection: Collection) -> list[Judged]:
    """Rank fusion, which has nothing to choose, and the convex combinations."""
    fusions: dict[str, Weighted] = {
        SHIPPED: convex_combination,
        "convex, missing scores are the least": with_least,
        "convex, min-max": min_max,
    }
    plain = _Scores(asked, collection, reciprocal_rank_fusion)
    judged = [Judged("reciprocal rank", "", plain.ndcg, float(plain.recall.mean()))]
    return judged + [_two_fold(name, fuse, asked, collection) for name, fuse in fusions.items()]


def _two_fold(name: str, fuse: Weighted, asked: Mapping[int, Asked], collection: Collection) -> Judged:
    import numpy as np

    odd = np.array([number % 2 == 1 for number in asked])
    scores = [_Scores(asked, collection, partial(_weighted, fuse, weight)) for weight in WEIGHTS]
    # The first of equal ones is that with more of the text.
    best = [max(range(len(WEIGHTS)), key=lambda place: float(scores[place].ndcg[half].mean())) for half in (odd, ~odd)]
    of_odd, of_even = scores[best[1]], scores[best[0]]
    chosen = f"{WEIGHTS[best[0]]} / {WEIGHTS[best[1]]}"
    found = float(np.where(odd, of_odd.recall, of_even.recall).mean())
    return Judged(name, chosen, np.where(odd, of_odd.ndcg, of_even.ndcg), found)


def _weighted(fuse: Weighted, weight: float, lists: Lists, query: Vector) -> Ranked:
    return fuse(lists, query, weight)


class _Scores:
    """Of each question."""

    def __init__(
        self, asked: Mapping[int, Asked], collection: Collection, fuse: Callable[[Lists, Vector], Ranked]
    ) -> None:
        import numpy as np

        judgements = collection.judgements
        ranked = {number: [hit.document_id for hit, _ in fuse(one.lists, one.vector)] for number, one in asked.items()}
        self.ndcg = np.array([ndcg(found, judgements[number]) for number, found in ranked.items()])
        self.recall = np.array([recall(found, judgements[number]) for number, found in ranked.items()])


def interval(difference: "np.ndarray") -> tuple[float, float]:
    """95% of the mean, by a paired bootstrap over the questions."""
    import numpy as np

    rng = np.random.default_rng(1)
    means = difference[rng.integers(0, len(difference), (RESAMPLES, len(difference)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def p_value(difference: "np.ndarray") -> float:
    """Two-sided paired randomisation test: how often random signs make as large a difference (Fisher; Smucker 2007)."""
    import numpy as np

    signs = np.random.default_rng(2).choice([-1, 1], (RESAMPLES, len(difference)))
    as_large = np.abs((signs * difference).mean(axis=1)) >= abs(difference.mean()) - 1e-12
    return float((as_large.sum() + 1) / (RESAMPLES + 1))


def fusion_table(judged: Sequence[Judged]) -> Table:
    """Each against the first."""
    columns = ["fusion", "vector weight, odd / even", "nDCG@10", "over the first", "95% interval", "p", "recall@100"]
    rows = [_row(one, judged[0]) for one in judged]
    return Table(
        title="Fusions, each half of the questions by the weight that the other half chose", columns=columns, rows=rows
    )


def _row(one: Judged, first: Judged) -> list[str]:
    difference = one.ndcg - first.ndcg
    against = ["", "", ""]
    if one is not first:
        low, high = interval(difference)
        against = [f"{difference.mean():+.3f}", f"{low:+.3f} to {high:+.3f}", f"{p_value(difference):.3f}"]
    return [one.name, one.chosen, f"{one.ndcg.mean():.3f}", *against, f"{one.recall:.3f}"]
