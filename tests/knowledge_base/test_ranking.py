"""Fusion of full text and vectors."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge_base.documents import Hit
from knowledge_base.ranking import Fusion, convex_combination, reciprocal_rank_fusion

QUERY = np.array([1.0, 0.0])
FUSIONS = [convex_combination, reciprocal_rank_fusion]


def hit(document_id: str, score: float, number: int = 0, cosine: float | None = None) -> Hit:
    vector = None if cosine is None else np.array([cosine, (1 - cosine**2) ** 0.5])
    return Hit(document_id, 1, "", "", f"{document_id} {number}", number, 0, 1, score, {}, vector)


def order(ranked: Sequence[tuple[Hit, float]]) -> list[str]:
    return [found.document_id for found, _ in ranked]


def test_convex_combination_by_hand() -> None:
    lists = {"text": [hit("a", 10.0, cosine=0.2), hit("b", 5.0)], "vector": [hit("b", 0.6), hit("c", 0.5)]}
    ranked = {found.document_id: score for found, score in convex_combination(lists, QUERY, vector_weight=0.5)}
    assert ranked == pytest.approx({"a": (1 + 1.2 / 1.6) / 2, "b": (0.5 + 1) / 2, "c": (0 + 1.5 / 1.6) / 2})


def test_an_exact_name_far_from_the_query_stands_above_what_is_only_near() -> None:
    """With the least cosine for what is not among the nearest, it would come last."""
    nearest = [hit(f"near-{number:03}", 0.6 - number / 1000) for number in range(100)]
    named = hit("ERR-4711", 12.0, cosine=0.1)
    assert order(convex_combination({"text": [named], "vector": nearest}, QUERY))[0] == "ERR-4711"
    unknown = hit("ERR-4711", 12.0)
    assert order(convex_combination({"text": [unknown], "vector": nearest}, QUERY))[-1] == "ERR-4711"


def test_a_document_counts_with_its_best_chunk_and_shows_it() -> None:
    lists = {
        "text": [hit("a", 9.0, 1), hit("a", 8.0, 2)],
        "vector": [hit("a", 0.9, 2), hit("b", 0.8), hit("a", 0.1, 1)],
    }
    [best, other] = convex_combination(lists, QUERY)
    assert (best[0].document_id, best[0].number, other[0].document_id) == ("a", 2, "b")


@pytest.mark.parametrize("fuse", FUSIONS)
def test_one_list_keeps_its_order_and_none_is_no_answer(fuse: Fusion) -> None:
    for name, scores in (("text", (3.0, 2.0, 1.0)), ("vector", (0.5, 0.0, -0.9))):
        lists = {name: [hit(document_id, score) for document_id, score in zip("cab", scores, strict=True)]}
        assert order(fuse(lists, QUERY)) == ["c", "a", "b"]
    assert fuse({"text": [], "vector": []}, QUERY) == fuse({"text": []}, None) == []
    assert order(fuse({"text": [], "vector": [hit("a", -1.0)]}, QUERY)) == ["a"]


@pytest.mark.parametrize("fuse", FUSIONS)
def test_equal_scores_are_in_the_order_of_the_ids(fuse: Fusion) -> None:
    lists = {"text": [hit("b", 1.0, cosine=0.5)], "vector": [hit("a", 0.5)]}
    both = {"text": [hit("a", 1.0, cosine=0.5)], "vector": [hit("b", 0.5)]}
    if fuse is reciprocal_rank_fusion:
        assert order(fuse(lists, QUERY)) == order(fuse(both, QUERY)) == ["a", "b"]
    same = {"text": [hit("b", 1.0, cosine=0.5), hit("a", 1.0, cosine=0.5)], "vector": []}
    assert order(convex_combination(same, QUERY)) == ["a", "b"]


scored = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3), st.floats(0, 1)), max_size=12)


@pytest.mark.parametrize("fuse", FUSIONS)
@given(text=scored, vector=scored)
def test_every_document_appears_once_with_a_falling_score(
    fuse: Fusion, text: list[tuple[str, int, float]], vector: list[tuple[str, int, float]]
) -> None:
    def leg(rows: list[tuple[str, int, float]]) -> list[Hit]:
        return sorted((hit(d, score, n, score) for d, n, score in rows), key=lambda found: -found.score)

    lists = {"text": leg(text), "vector": leg(vector)}
    ranked = fuse(lists, QUERY)
    assert sorted(order(ranked)) == sorted({row[0] for row in (*text, *vector)})
    scores = [score for _, score in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 + 1e-9 for score in scores)
