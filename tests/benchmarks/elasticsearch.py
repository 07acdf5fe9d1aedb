"""The knowledge base on Elasticsearch: what it costs beside Elasticsearch alone, and whether it finds as well."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from common.security.access import AccessScope
from common.settings import CommonSettings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.settings import KnowledgeBaseSettings
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.collection import Collection, read_collection
from tests.benchmarks.cranfield import Answers
from tests.benchmarks.cranfield_ingest import collection_in
from tests.benchmarks.elasticsearch_measure import PREFIX, Times, ask, bare_together, over_http
from tests.benchmarks.ingestion import measured as ingested
from tests.benchmarks.ingestion import rates
from tests.benchmarks.ingestion_measure import Portion
from tests.benchmarks.result import Result, Table, Target, percentile
from tests.benchmarks.scale_data import Filling
from tests.services.elasticsearch import FLAGS, ElasticsearchNode

ABOUT = """A single Elasticsearch 9.2 node (1 GB of heap) beside everything else on the machine. The first table: both
indices get the Cranfield collection by the same path as any document, and the questions go through `Search.search`,
hybrid. The second: 100,000 synthetic chunks in 25,000 documents, as in the section on 100,000 chunks, whose rights name
10,000 groups; the caller is in 200 of them. Each question is asked in turn by the official client as a bare `_msearch`
of both kinds of search with the same filters, the same `_msearch` without any filter, and by `Search.search`, with an
embedding of its own or with one that is known. Ratios are medians over the questions. Then eight callers ask `search`
over MCP and HTTP at the same moment, again and again, each time in new words; server, Elasticsearch and callers share
the machine. What the embedder and the bare `_msearch` take for eight at once in one process stands beside it: no server
can be faster than that here. Ingestion is measured as in its own section."""

GROUPS = [f"group-{number:05}" for number in range(10_000)]
MEMBER = AccessScope("acme", "ann", frozenset(GROUPS[:200]), "confidential")
PRODUCTION = [flag for flag in FLAGS if not flag.startswith(("-Xm", "-XX:TieredStop", "-XX:MaxDirect"))]
HEAP = ["-Xms1g", "-Xmx1g"]
FULL, QUICK = 25_000, 750


@dataclass
class Measured:
    """Everything, as it was found."""

    ndcg: dict[str, float] = field(default_factory=dict)
    recall: dict[str, float] = field(default_factory=dict)
    times: Times = field(default_factory=Times)
    together: list[float] = field(default_factory=list)
    http: list[float] = field(default_factory=list)
    chunks: int = 0
    portions: list[Portion] = field(default_factory=list)


def run(run: Run) -> Result:
    """Quality, then speed, then ingestion."""
    measured = Measured()
    with tempfile.TemporaryDirectory(prefix="elasticsearch-") as name:
        folder = Path(name)
        node = ElasticsearchNode(folder / "node", flags=[*HEAP, *PRODUCTION])
        try:
            url = node.ready()
            collection = read_collection()
            asyncio.run(_quality(run, collection, folder, url, measured))
            asyncio.run(_speed(run, collection, folder / "scale", url, measured))
            questions, rounds = list(collection.questions.values()), 10 if run.quick else 60
            measured.http = over_http(folder / "scale", url, questions, MEMBER, rounds)
            environment = {"KB_INDEX": "elasticsearch", "KB_ELASTICSEARCH_URL": url, "KB_ELASTICSEARCH_INDEX": "ingest"}
            measured.portions = list(ingested(folder / "ingest", 100 if run.quick else 750, environment))
        finally:
            node.stop()
    tables = [_found(measured), _took(measured)]
    return Result(tables=tables, targets=_targets(measured), notes=[_limit(measured)])


def settings_of(url: str, prefix: str) -> KnowledgeBaseSettings:
    return KnowledgeBaseSettings(index="elasticsearch", elasticsearch_url=[url], elasticsearch_index=prefix)


async def _quality(run: Run, collection: Collection, folder: Path, url: str, measured: Measured) -> None:
    for name, settings in (("embedded", None), ("Elasticsearch", settings_of(url, "cranfield"))):
        async with collection_in(run, collection, folder / name, settings) as (knowledge_base, _):
            answers = Answers()
            for number, question in collection.questions.items():
                await answers.ask(knowledge_base.search, "hybrid", number, question)
            measured.ndcg[name], measured.recall[name] = answers.ndcg(collection), answers.recall(collection)


async def _speed(run: Run, collection: Collection, folder: Path, url: str, measured: Measured) -> None:
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder), settings_of(url, PREFIX))
    async with opened(knowledge_base, work=False):
        measured.chunks = await _fill(run, knowledge_base, collection)
        questions = list(collection.questions.values())[: 60 if run.quick else None]
        with run.progress("asked", len(questions)) as progress:
            measured.times = await ask(knowledge_base, url, questions, MEMBER, progress)
        measured.together = await bare_together(knowledge_base, url, questions, MEMBER, 10 if run.quick else 40)


async def _fill(run: Run, knowledge_base: KnowledgeBase, collection: Collection) -> int:
    import numpy as np

    texts = [abstract.text for abstract in collection.abstracts if abstract.text][:: 24 if run.quick else 8]
    vectors = np.stack(await knowledge_base.embedder.embed(texts))
    documents = QUICK if run.quick else FULL
    filling = Filling(knowledge_base, texts, vectors, documents, GROUPS)
    with run.progress("filled in", documents) as progress:
        while (done := await filling.next_group()) < documents:
            progress(done)
    return len(filling.world.vectors)


def _found(measured: Measured) -> Table:
    rows = [[name, f"{measured.ndcg[name]:.4f}", f"{measured.recall[name]:.4f}"] for name in measured.ndcg]
    return Table(title="Cranfield, hybrid", columns=["index", "nDCG@10", "recall@100"], rows=rows)


def _took(measured: Measured) -> Table:
    eight = {"embedding and msearch, 8 callers": measured.together, "search over HTTP, 8 callers": measured.http}
    rows = [
        [name, *(f"{percentile(seconds, share) * 1000:.1f}" for share in (0.5, 0.99))]
        for name, seconds in {**measured.times.seconds, **eight}.items()
    ]
    title = f"One question in {measured.chunks:,} chunks, by a caller in 200 of 10,000 groups"
    return Table(title=title, columns=["", "p50, ms", "p99, ms"], rows=rows)


def _limit(measured: Measured) -> str:
    """Why it takes what it takes."""
    own, bare = (measured.times.computed_milliseconds(name) for name in ("search, embedded", "msearch"))
    eight = percentile(measured.together, 0.5) * 1000
    return (
        f"Of a search whose embedding is known, this process computes {own:.0f} ms, of a bare `_msearch` {bare:.0f}: "
        "the catalogue's answer for all documents found, 200 hits as objects, lists joined, passages compared, ten "
        f"snippets. Eight bare callers at once take {eight:.0f} ms already, with Elasticsearch on the same cores."
    )


def _targets(measured: Measured) -> list[Target]:
    times, (speed, best, *_) = measured.times, rates(measured.portions)
    lost = measured.ndcg["embedded"] - measured.ndcg["Elasticsearch"]
    http = {share: percentile(measured.http, share) * 1000 for share in (0.5, 0.99)}
    return [
        Target(
            what="search over bare msearch and embedding",
            measured=times.ratio("search", "msearch", "embedding"),
            limit=1.25,
        ),
        Target(
            what="search, embedding known, over bare msearch",
            measured=times.ratio("search, embedded", "msearch"),
            limit=1.3,
        ),
        Target(
            what="msearch in 200 of 10,000 groups over none",
            measured=times.ratio("msearch", "msearch, no filter"),
            limit=1.3,
        ),
        Target(what="nDCG@10 lost against the embedded index", measured=lost, limit=0.01),
        Target(
            what="share of the embedder's own speed", measured=100 * speed / best, limit=80.0, unit="%", at_most=False
        ),
        Target(what="p50 over HTTP, 8 callers", measured=http[0.5], limit=60.0, unit="ms"),
        Target(what="p99 over HTTP, 8 callers", measured=http[0.99], limit=200.0, unit="ms"),
    ]


BENCHMARK = Benchmark("elasticsearch", "Search on Elasticsearch", ABOUT, run)
