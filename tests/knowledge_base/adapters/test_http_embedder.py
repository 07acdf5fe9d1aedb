"""An embedder elsewhere: the same vectors, in order, or an error that says whose fault it is."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from common.errors import InvalidInput, SettingsError, Unavailable
from common.http.credentials import FixedHeaders
from common.http.upstream import Upstream
from common.resilience.retry import RetryLimits
from common.settings import CommonSettings, load_settings
from knowledge_base.adapters.http_embedder import BATCH, HttpEmbedder
from knowledge_base.adapters.onnx_embedder import DIMENSION, OnnxEmbedder
from knowledge_base.bootstrap_embedder import build_embedder
from knowledge_base.settings import KnowledgeBaseSettings
from tests.services.embeddings_api import KEY, EmbeddingsApi, serving

QUICK = RetryLimits(first_wait=0.001, longest_wait=0.01)


@pytest.fixture
async def api() -> AsyncIterator[EmbeddingsApi]:
    async with serving() as found:
        yield found


@pytest.fixture
async def embedder(api: EmbeddingsApi) -> AsyncIterator[HttpEmbedder]:
    found = opened(api)
    yield found
    await found.close()


def opened(api: EmbeddingsApi, key: str = KEY, dimension: int = DIMENSION) -> HttpEmbedder:
    upstream = Upstream("embedder", api.url, deadline=30, attempt=20, retries=QUICK)
    return HttpEmbedder(upstream, "some-model", dimension, FixedHeaders({"Authorization": f"Bearer {key}"}))


async def test_vectors_are_those_of_the_model_in_order_and_of_unit_length(
    api: EmbeddingsApi, embedder: HttpEmbedder
) -> None:
    texts = [f"pump {n}" for n in range(BATCH + 6)]
    own = OnnxEmbedder()
    expected = np.stack(await own.embed(texts))
    await own.close()
    assert np.allclose(np.stack(await embedder.embed(texts)), expected, atol=1e-6)
    assert sorted(api.batches) == [6, BATCH]
    assert len(await embedder.embed([""])) == 1
    assert await embedder.embed([]) == []


async def test_what_fails_for_a_moment_is_tried_again(api: EmbeddingsApi, embedder: HttpEmbedder) -> None:
    api.statuses = [503, 429]
    assert len(await embedder.embed(["pump"])) == 1
    assert len(api.batches) == 3


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (429, Unavailable, "no more for now"),
        (500, Unavailable, "status 500"),
        (403, Unavailable, "KB_EMBEDDER_API_KEY"),
        (404, Unavailable, "KB_EMBEDDER_URL"),
        (400, InvalidInput, "status 400"),
    ],
)
async def test_a_failure_says_whose_it_is_and_quotes_no_text(
    api: EmbeddingsApi, embedder: HttpEmbedder, status: int, kind: type[Exception], says: str
) -> None:
    api.statuses = [status] * 9
    with pytest.raises(kind, match=says) as failed:
        await embedder.embed(["secret passage"])
    assert "secret" not in str(failed.value)


async def test_a_wrong_key_is_the_operators_and_not_shown(api: EmbeddingsApi) -> None:
    stranger = opened(api, "sk-wrong")
    with pytest.raises(Unavailable, match="KB_EMBEDDER_API_KEY") as refused:
        await stranger.embed(["pump"])
    await stranger.close()
    assert "sk-wrong" not in repr(refused.value)


def without_one(found: Any) -> Any:
    return {"data": found["data"][1:]}


def twice_the_first(found: Any) -> Any:
    return {"data": [dict(each, index=0) for each in found["data"]]}


def of_no_length(found: Any) -> Any:
    return {"data": [dict(each, embedding=[0.0] * DIMENSION) for each in found["data"]]}


@pytest.mark.parametrize("spoil", [without_one, twice_the_first, of_no_length, lambda _: [], lambda _: {"data": [1]}])
async def test_half_an_answer_is_none(api: EmbeddingsApi, embedder: HttpEmbedder, spoil: Callable[[Any], Any]) -> None:
    api.spoil = spoil
    with pytest.raises(Unavailable):
        await embedder.embed(["pump", "valve"])


async def test_another_dimension_is_not_taken(api: EmbeddingsApi) -> None:
    other = opened(api, dimension=DIMENSION + 1)
    with pytest.raises(Unavailable, match="KB_EMBEDDER_DIMENSION"):
        await other.embed(["pump"])
    await other.close()


async def test_the_settings_choose_it(api: EmbeddingsApi, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {
        "embedder": "http",
        "embedder_url": api.url,
        "embedder_model": "m",
        "embedder_dimension": DIMENSION,
    }
    monkeypatch.setenv("SECRET_REMOTE_KEY", KEY)
    monkeypatch.setenv("KB_EMBEDDER_API_KEY", "secret://remote#key")
    settings = load_settings(KnowledgeBaseSettings, **given)
    embedder = build_embedder(CommonSettings(), settings)
    assert len(await embedder.embed(["pump"])) == 1
    assert isinstance(embedder, HttpEmbedder)
    # Ten full batches that take their time are no outage.
    assert embedder.upstream.breaker.slow_after == embedder.upstream.attempt == settings.embedder_timeout_seconds
    await embedder.close()


@pytest.mark.parametrize(
    "given",
    [
        {"embedder": "http"},
        {"embedder": "http", "embedder_url": "http://embedder.example/v1", "embedder_api_key": "sk"},
    ],
)
def test_settings_that_cannot_be_used_are_named(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="KB_EMBEDDER_URL"):
        load_settings(KnowledgeBaseSettings, **given)
