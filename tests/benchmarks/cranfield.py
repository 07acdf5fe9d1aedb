"""How well search finds, on a collection whose answers are known."""

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import get_args

from common.security.access import AccessScope
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.filters import Restriction
from knowledge_base.search import LEG_LIMIT, Mode, Search
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.collection import Collection, read_collection
from tests.benchmarks.cranfield_ingest import TENANT, Ingested, collection_in
from tests.benchmarks.fusion import SHIPPED, Asked, Judged, cross_validated, fusion_table
from tests.benchmarks.quality import ndcg, recall
from tests.benchmarks.result import Bars, Result, Table, Target, percentile

ABOUT = """The [Cranfield collection](../tests/data/cranfield/README.md): 1,400 abstracts, 225 questions, 1,837 graded
judgements. The abstracts go in through the same path as any document (`Library.add`, then the worker) into an empty
embedded profile; the questions go through `Search.search`, one after the other, with a new embedder for each mode, so
that no vector comes from its cache; the latency is that of a page of 10, the lists that are judged have 100
documents. nDCG@10 is linear in the gain (5 - code), the ideal has all judged documents. Yardsticks, measured
beforehand on whole documents: BM25 (bm25s), vectors of the same model, and reciprocal rank fusion of both.
`hybrid` uses the weight as shipped, which has seen all questions. What a fusion is worth on questions that its weight
has not seen is in the second table: odd and even questions in turn, weights in steps of 0.05. The interval is that of
a paired bootstrap, p that of a paired randomisation test, both over the questions."""

YARDSTICKS: dict[Mode, float] = {"text": 0.528, "vector": 0.509, "hybrid": 0.561}
LIMITS = {"text": 0.525, "vector": 0.505, "hybrid, cross-validated": 0.568}
READER = AccessScope(TENANT, "reader", clearance="public")
LIMIT = 100
WARM_UP = ("a question that nobody asked", "flow")


class Answers:
    """What one mode found: ranked documents and seconds for each question."""

    def __init__(self) -> None:
        self.ranked: dict[int, list[str]] = {}
        self.seconds: list[float] = []

    async def ask(self, search: Search, mode: Mode, number: int, question: str) -> None:
        """Ask a question of the collection, as a client would, and once more for the long list that is judged."""
        started = time.perf_counter()
        await search.search(question, READER, mode=mode)
        self.seconds.append(time.perf_counter() - started)
        page = await search.search(question, READER, limit=LIMIT, mode=mode)
        self.ranked[number] = [item.document_id for item in page.items]

    def ndcg(self, collection: Collection) -> float:
        return mean(ndcg(ranked, collection.judgements[number]) for number, ranked in self.ranked.items())

    def recall(self, collection: Collection) -> float:
        return mean(recall(ranked, collection.judgements[number], LIMIT) for number, ranked in self.ranked.items())

    def milliseconds(self, share: float) -> float:
        return percentile(self.seconds, share) * 1000


def run(run: Run) -> Result:
    """Take the collection in, then ask all questions in all modes."""
    collection = read_collection()
    with tempfile.TemporaryDirectory() as folder:
        ingested, answers, judged = asyncio.run(_measure(run, collection, Path(folder)))
    return Result(
        tables=[_quality(collection, answers), fusion_table(judged)],
        targets=_targets(collection, answers, judged),
        notes=[f"Refused: {'; '.join(ingested.refused)}."] if ingested.refused else [],
        plot=_plot(collection, answers),
    )


async def _measure(
    run: Run, collection: Collection, folder: Path
) -> tuple[Ingested, Mapping[Mode, Answers], list[Judged]]:
    from knowledge_base.adapters.onnx_embedder import OnnxEmbedder

    async with collection_in(run, collection, folder) as (knowledge_base, ingested):
        answers: dict[Mode, Answers] = {}
        for mode in get_args(Mode):
            embedder = OnnxEmbedder()
            search = Search(knowledge_base.index, embedder, knowledge_base.catalog)
            answers[mode] = await _ask_all(run, search, mode, collection)
            await embedder.close()
        asked = await _lists(knowledge_base, list(collection.questions.items())[: 40 if run.quick else None])
        return ingested, answers, await asyncio.to_thread(cross_validated, asked, collection)


async def _lists(knowledge_base: KnowledgeBase, questions: Sequence[tuple[int, str]]) -> dict[int, Asked]:
    """What `Search` joins."""
    index, restriction = knowledge_base.index, Restriction(READER)
    asked = {}
    for number, question in questions:
        [vector] = await knowledge_base.embedder.embed([question])
        text = await index.search_text(question, restriction, LEG_LIMIT)
        nearest = await index.search_vector(vector, restriction, LEG_LIMIT)
        asked[number] = Asked({"text": text, "vector": nearest}, vector)
    return asked


async def _ask_all(run: Run, search: Search, mode: Mode, collection: Collection) -> Answers:
    questions = list(collection.questions.items())[: 40 if run.quick else None]
    answers = Answers()
    for question in WARM_UP:
        await search.search(question, READER, mode=mode)
    with run.progress(f"{mode} search", len(questions)) as progress:
        for done, (number, question) in enumerate(questions, start=1):
            await answers.ask(search, mode, number, question)
            progress(done)
    return answers


def _quality(collection: Collection, answers: Mapping[Mode, Answers]) -> Table:
    return Table(
        title="Quality of search, and its latency",
        columns=["mode", "nDCG@10", "yardstick", "recall@100", "page of 10, p50, ms", "p99, ms"],
        rows=[_quality_row(mode, found, collection) for mode, found in answers.items()],
    )


def _quality_row(mode: Mode, found: Answers, collection: Collection) -> Sequence[str]:
    quality = [f"{found.ndcg(collection):.3f}", f"{YARDSTICKS[mode]:.3f}", f"{found.recall(collection):.3f}"]
    return [mode, *quality, f"{found.milliseconds(0.5):.1f}", f"{found.milliseconds(0.99):.1f}"]


def _targets(collection: Collection, answers: Mapping[Mode, Answers], judged: Sequence[Judged]) -> list[Target]:
    shipped = next(one for one in judged if one.name == SHIPPED)
    found = {"text": answers["text"].ndcg(collection), "vector": answers["vector"].ndcg(collection)}
    found["hybrid, cross-validated"] = float(shipped.ndcg.mean())
    return [
        Target(what=f"nDCG@10, {name}", measured=found[name], limit=limit, at_most=False)
        for name, limit in LIMITS.items()
    ]


def _plot(collection: Collection, answers: Mapping[Mode, Answers]) -> Bars:
    measured = [round(found.ndcg(collection), 3) for found in answers.values()]
    series = {"yardstick": [YARDSTICKS[mode] for mode in answers], "this knowledge base": measured}
    return Bars(title="Cranfield, nDCG@10", axis="nDCG@10", groups=list(answers), series=series)


BENCHMARK = Benchmark("cranfield", "Search quality", ABOUT, run)
