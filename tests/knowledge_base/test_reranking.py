import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from common.errors import SettingsError, Unavailable
from knowledge_base.adapters.onnx_reranker import OnnxReranker
from knowledge_base.documents import Hit
from knowledge_base.ranking import Ranked
from knowledge_base.reranking import LOOKED_AT, Reranking

WORDS = {"[UNK]": 0, "bad": 1, "fair": 5, "good": 9}


def ranked(*texts: str) -> Ranked:
    hits = [Hit(f"d{number}", 1, "", "", text, 0, 0, 1, 0.0, {}) for number, text in enumerate(texts)]
    return [(hit, 1.0 / number) for number, hit in enumerate(hits, start=1)]


def texts(found: Ranked) -> list[str]:
    return [hit.text for hit, _ in found]


class Scripted:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.sleep(60)
        return [self.answer(passage) for passage in passages]

    async def close(self) -> None: ...


async def test_the_best_are_put_into_the_models_order_and_nothing_is_lost() -> None:
    found = ranked(*"cab", *(f"{number:03}" for number in range(40)))
    again = await Reranking(Scripted(lambda passage: -ord(passage[0])), 1.0)("q", found)
    assert sorted(texts(again)) == sorted(texts(found))
    assert again[LOOKED_AT:] == found[LOOKED_AT:]
    assert texts(again)[LOOKED_AT - 3 : LOOKED_AT] == ["a", "b", "c"]


@pytest.mark.parametrize("trouble", [None, Unavailable("away"), ValueError("broken")])
async def test_without_an_answer_in_time_the_order_stays(trouble: Any) -> None:
    found, started = ranked("c", "a"), time.monotonic()
    assert await Reranking(Scripted(trouble), 0.05)("q", found) == found
    assert time.monotonic() - started < 5


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A cross-encoder whose score is the sum of its token ids."""
    onnx = pytest.importorskip("onnx")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    helper, kinds = onnx.helper, onnx.TensorProto
    given = helper.make_tensor_value_info("input_ids", kinds.INT64, [1, None])
    made = helper.make_tensor_value_info("logits", kinds.FLOAT, [1, 1])
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=kinds.FLOAT),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["logits"], keepdims=1),
    ]
    axes = helper.make_tensor("axes", kinds.INT64, [1], [1])
    graph = helper.make_graph(nodes, "sum", [given], [made], [axes])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "model.onnx"
    )
    tokenizer = Tokenizer(WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


async def test_a_model_in_onnx_form_scores_pairs(model: Path) -> None:
    reranker = OnnxReranker(model)
    assert await reranker.scores("fair", ["bad", "good", "unheard of", "good " * 5]) == [6, 14, 5, 50]
    again = await Reranking(reranker, 20)("fair", ranked("bad", "good", "fair"))
    assert texts(again) == ["good", "fair", "bad"]
    await reranker.close()


async def test_long_passages_are_cut_and_a_late_answer_does_not_hold_up_the_next(model: Path) -> None:
    reranker = OnnxReranker(model)
    await reranker.scores("fair", ["good " * 100_000])
    found = ranked(*["good " * 200] * 30)
    assert await Reranking(reranker, 0.000_001)("fair", found) == found
    assert await asyncio.wait_for(reranker.scores("fair", ["bad"]), 20) == [6]
    await reranker.close()


def test_a_folder_without_a_model_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"KB_RERANKER: .* has no model.onnx and no tokenizer.json"):
        OnnxReranker(tmp_path)
