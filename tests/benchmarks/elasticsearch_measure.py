"""What Elasticsearch and this knowledge base on it take for the same questions, one after the other."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from common.security.access import AccessScope
from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from knowledge_base.adapters.elastic_client import ElasticsearchAccess, connect
from knowledge_base.adapters.elastic_filter import where
from knowledge_base.adapters.elastic_index import CANDIDATES
from knowledge_base.adapters.elastic_mapping import SHOWN
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import Vector
from knowledge_base.filters import Restriction
from knowledge_base.ports import Embedder
from knowledge_base.search import LEG_LIMIT, Search
from tests.benchmarks.load import drive
from tests.benchmarks.requests import raw_request, structured
from tests.benchmarks.stack_measure import launch

CALLERS = 8
PREFIX = "bench"


@dataclass
class Times:
    """Seconds of each way to ask, and of this process's processor; all ways take turns, question by question."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)

    async def take(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        started, computed = time.perf_counter(), time.process_time()
        answer = await work()
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)
        self.processor.setdefault(name, []).append(time.process_time() - computed)
        return answer

    def computed_milliseconds(self, name: str) -> float:
        return median(self.processor[name]) * 1000

    def ratio(self, name: str, *others: str) -> float:
        """The median over the questions, since what drifts on the machine meets all ways of one question alike."""
        each = zip(self.seconds[name], *(self.seconds[other] for other in others), strict=True)
        return float(median(one / sum(rest) for one, *rest in each))


class Remembering:
    """An embedder that has been asked before."""

    def __init__(self, vectors: dict[str, Vector], embedder: Embedder) -> None:
        self.dimension, self.model = embedder.dimension, embedder.model
        self._vectors = vectors

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        return [self._vectors[text] for text in texts]

    async def close(self) -> None: ...


def bare(question: str, vector: Vector, filters: Sequence[dict[str, Any]], index: str) -> list[dict[str, Any]]:
    """Both searches as somebody writes them who only wants the answers."""
    text = {"bool": {"must": {"match": {"body": question}}, "filter": filters}}
    knn = {"field": "vector", "query_vector": vector, "k": LEG_LIMIT, "num_candidates": CANDIDATES * LEG_LIMIT}
    nearest = {"knn": {**knn, "rescore_vector": {"oversample": CANDIDATES}, "filter": filters}}
    header, shown = {"index": index}, {"size": LEG_LIMIT, "_source": SHOWN, "track_total_hits": False}
    return [header, {"query": text, **shown}, header, {**nearest, **shown}]


async def ask(
    knowledge_base: KnowledgeBase, url: str, questions: Sequence[str], scope: AccessScope, step: Callable[[int], None]
) -> Times:
    """Bare, as search, as search whose embedding is known, and bare without any filter."""
    times, vectors = Times(), dict[str, Vector]()
    remembering = Search(knowledge_base.index, Remembering(vectors, knowledge_base.embedder), knowledge_base.catalog)
    filters, alias = where(Restriction(scope)), str(knowledge_base.index.alias)  # type: ignore[attr-defined]
    async with connect(ElasticsearchAccess([url])) as client:
        for done, question in enumerate(questions, start=1):
            measured = times if done > 10 else Times()
            # Each asks the embedder in words of his own, since it remembers texts.
            words = f"{question} (again)"
            [vector] = await measured.take("embedding", lambda words=words: knowledge_base.embedder.embed([words]))  # type: ignore[misc]
            vectors[question] = vector
            filtered, open_ = bare(question, vector, filters, alias), bare(question, vector, [], alias)
            await measured.take("msearch", lambda filtered=filtered: client.msearch(searches=filtered))  # type: ignore[misc]
            await measured.take("search", lambda question=question: knowledge_base.search.search(question, scope))  # type: ignore[misc]
            await measured.take("msearch, no filter", lambda open_=open_: client.msearch(searches=open_))  # type: ignore[misc]
            await measured.take("search, embedded", lambda question=question: remembering.search(question, scope))  # type: ignore[misc]
            step(done)
    return times


async def bare_together(
    knowledge_base: KnowledgeBase, url: str, questions: Sequence[str], scope: AccessScope, rounds: int
) -> list[float]:
    """Seconds of an embedding and a bare `_msearch` by eight callers at the same moment: what nobody can do without."""
    filters, alias = where(Restriction(scope)), str(knowledge_base.index.alias)  # type: ignore[attr-defined]
    latencies: list[float] = []
    async with connect(ElasticsearchAccess([url])) as client:

        async def one(words: str) -> None:
            started = time.perf_counter()
            [vector] = await knowledge_base.embedder.embed([words])
            await client.msearch(searches=bare(words, vector, filters, alias))
            latencies.append(time.perf_counter() - started)

        for turn in range(rounds):
            asked = [f"{questions[(turn * CALLERS + n) % len(questions)]} (bare {turn})" for n in range(CALLERS)]
            await asyncio.gather(*map(one, asked))
    return latencies[5 * CALLERS :]


def over_http(folder: Path, url: str, questions: Sequence[str], scope: AccessScope, rounds: int) -> list[float]:
    """Seconds of each call of `search` by eight callers who ask at the same moment, again and again."""
    store = ApiKeyStore(api_keys_path(CommonSettings(data_dir=folder)))
    rights = (scope.tenant, ["user"], sorted(scope.groups), scope.clearance)
    keys = [store.create(scope.subject, *rights)[1] for _ in range(CALLERS)]
    environment = {
        "TRIPTYCH_DATA_DIR": str(folder),
        "TRIPTYCH_RATE_LIMIT_PER_SECOND": "100000",
        "TRIPTYCH_RATE_LIMIT_BURST": "100000",
        "KB_INDEX": "elasticsearch",
        "KB_ELASTICSEARCH_URL": url,
        "KB_ELASTICSEARCH_INDEX": PREFIX,
        "KB_WORKER": "false",
    }
    server = launch(["infra.cli", "serve", "knowledge-base"], folder / "server.log", keys, environment)
    latencies: list[float] = []
    try:
        for turn in range(rounds):
            asked = [f"{questions[(turn * CALLERS + n) % len(questions)]} (turn {turn})" for n in range(CALLERS)]
            calls = zip(asked, keys, strict=True)
            requests = [raw_request("modern", "search", {"query": text}, server.port, key) for text, key in calls]
            load = drive(server.port, requests, 0.0)
            if not structured(load.answer)["items"]:
                raise RuntimeError("a search over HTTP found nothing")
            if turn >= 5:
                latencies += load.latencies
    finally:
        server.process.terminate()
        server.process.wait(30)
    return latencies
