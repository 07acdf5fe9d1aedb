"""Search in a large knowledge base whose rights have changed a thousand times."""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from common.security.access import AccessScope
from common.settings import CommonSettings
from knowledge_base.adapters.lance_index import LanceIndex
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.documents import Vector
from knowledge_base.filters import Restriction
from knowledge_base.settings import KnowledgeBaseSettings
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.collection import Collection, read_collection
from tests.benchmarks.machine import resident_bytes
from tests.benchmarks.result import Result, Table, Target, percentile
from tests.benchmarks.scale_data import GROUPS, Filling, World, document_id, some_access

ABOUT = """100,000 chunks in 25,000 documents of three tenants; two documents of five are for all who are cleared, the
others for one to three of 500 groups. The chunks are synthetic, since embedding so many texts takes an hour: sentences
of two neighbouring Cranfield abstracts, and a vector between those of the two with noise around. Documents go into the
real catalogue and index in groups; then `Library.set_access` changes the rights of 1,000 documents, one after the
other, while the worker merges what that leaves. Then the Cranfield questions are asked by `Search.search`, hybrid, a
page of 10, each new to the embedder, so that its time counts: in turn by a caller without groups and by one in 200
groups, who may read more chunks. Recall is that of the vector list against a comparison of all vectors that the caller
may read, in numpy, with the rights as changed. A
vector search of LanceDB alone that compares all 100,000 took 91 ms when the promises were made; it is measured here,
too, between the questions, so that they can be read as shares of it. Memory is that of the process, less the vectors
that it holds a second time for that comparison."""

ALONE = AccessScope("acme", "ann", clearance="confidential")
MEMBER = AccessScope("acme", "ann", frozenset(GROUPS[:200]), "confidential")
CALLERS = {"no groups": ALONE, "200 groups": MEMBER}
OPERATOR = AccessScope("acme", "operator", frozenset(GROUPS), "restricted")
SHARES = (0.5, 0.95, 0.99)
FULL, QUICK = 25_000, 6_000
STEPS = ("embedding", "text", "vector", "catalogue", "fusion", "page", "all")


@dataclass
class Measured:
    """Seconds and shares, by caller."""

    changes: list[float] = field(default_factory=list)
    searches: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CALLERS})
    steps: dict[str, list[Mapping[str, float]]] = field(default_factory=lambda: {name: [] for name in CALLERS})
    recall: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CALLERS})
    processor: list[float] = field(default_factory=list)
    """Of a search without groups, all threads together."""
    flat: list[float] = field(default_factory=list)
    """Vector searches of LanceDB alone, without an index, a filter or texts."""
    chunks: int = 0
    memory: int = 0

    def milliseconds(self, caller: str, share: float) -> float:
        return percentile(self.searches[caller], share) * 1000


def run(run: Run) -> Result:
    """Fill, change, ask."""
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(_measure(run, read_collection(), Path(folder)))
    return Result(tables=[_latency(measured), _steps(measured)], targets=_targets(measured), notes=[_limit(measured)])


async def _measure(run: Run, collection: Collection, folder: Path) -> Measured:
    measured = Measured()
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder), KnowledgeBaseSettings())
    async with opened(knowledge_base, work=False):
        world = await _fill(run, knowledge_base, collection)
        measured.chunks = len(world.vectors)
        working = asyncio.create_task(knowledge_base.worker.run())
        await _change(run, knowledge_base, world, measured)
        await _ask(run, knowledge_base, world, list(collection.questions.values()), measured)
        measured.memory = resident_bytes() - world.vectors.nbytes
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    return measured


async def _fill(run: Run, knowledge_base: KnowledgeBase, collection: Collection) -> World:
    import numpy as np

    texts = [abstract.text for abstract in collection.abstracts if abstract.text][:: 12 if run.quick else 8]
    vectors = []
    with run.progress("embedded", len(texts)) as progress:
        for start in range(0, len(texts), 10):
            vectors += await knowledge_base.embedder.embed(texts[start : start + 10])
            progress(len(vectors))
    documents = QUICK if run.quick else FULL
    filling = Filling(knowledge_base, texts, np.stack(vectors), documents)
    with run.progress("filled in", documents) as progress:
        while (done := await filling.next_group()) < documents:
            progress(done)
    with run.progress("indexed", 1) as progress:
        await knowledge_base.index.tidy(at_once=True)
        progress(1)
    return filling.world


async def _change(run: Run, knowledge_base: KnowledgeBase, world: World, measured: Measured) -> None:
    rng = random.Random(2)  # noqa: S311 - a benchmark
    mine = [number for number, (tenant, _) in enumerate(world.documents) if tenant == OPERATOR.tenant]
    chosen = rng.sample(mine, 100 if run.quick else 1_000)
    with run.progress("rights changed", len(chosen)) as progress:
        for done, number in enumerate(chosen, start=1):
            access = some_access(rng)
            started = time.perf_counter()
            await knowledge_base.library.set_access(document_id(number), access, OPERATOR)
            measured.changes.append(time.perf_counter() - started)
            world.documents[number] = (OPERATOR.tenant, access)
            progress(done)


async def _ask(
    run: Run, knowledge_base: KnowledgeBase, world: World, questions: Sequence[str], measured: Measured
) -> None:
    search = knowledge_base.search
    for caller in CALLERS.values():
        for question in ("a question that nobody asked", "flow"):
            await search.search(question, caller)
    with run.progress("asked", len(questions)) as progress:
        for done, question in enumerate(questions, start=1):
            for name, caller in CALLERS.items():
                # The embedder remembers texts, so each asks in words of his own.
                started, processor = time.perf_counter(), time.process_time()
                await search.search(f"{question} ({name})", caller)
                measured.searches[name].append(time.perf_counter() - started)
                if caller is ALONE:
                    measured.processor.append(time.process_time() - processor)
                if done % 4 == 0:
                    await _look_closer(knowledge_base, world, question, name, measured)
            progress(done)


async def _look_closer(
    knowledge_base: KnowledgeBase, world: World, question: str, name: str, measured: Measured
) -> None:
    """The time of each step, and what the vector index misses."""
    restriction = Restriction(CALLERS[name])
    explained = await knowledge_base.search.explain(f"{question} ({name}, explained)", restriction)
    measured.steps[name].append(explained.steps)
    [vector] = await knowledge_base.embedder.embed([question])
    found = await knowledge_base.index.search_vector(vector, restriction, 100)
    measured.flat.append(await _compare_all(knowledge_base, vector))
    wanted = world.nearest(vector, restriction.scope, 10)
    measured.recall[name].append(len({(hit.document_id, hit.number) for hit in found[:10]} & {*wanted}) / 10)


async def _compare_all(knowledge_base: KnowledgeBase, vector: Vector) -> float:
    assert isinstance(knowledge_base.index, LanceIndex)
    table = await knowledge_base.index._open()
    started = time.perf_counter()
    query = table.query().nearest_to(vector).distance_type("cosine").bypass_vector_index()
    await query.select(["_distance"]).limit(100).to_arrow()
    return time.perf_counter() - started


def _latency(measured: Measured) -> Table:
    columns = ["caller", "p50, ms", "p95, ms", "p99, ms", "recall@10 of the vector list"]
    rows = [
        [name, *(f"{measured.milliseconds(name, share):.1f}" for share in SHARES), f"{mean(shares):.3f}"]
        for name, shares in measured.recall.items()
    ]
    rows.append(["LanceDB alone, all compared", *(f"{percentile(measured.flat, q) * 1000:.1f}" for q in SHARES), ""])
    times = f"{median(measured.changes) * 1000:.0f} ms each, p99 {percentile(measured.changes, 0.99) * 1000:.0f} ms"
    title = f"Hybrid search in {measured.chunks:,} chunks, after {len(measured.changes):,} changes of rights ({times})"
    return Table(title=title, columns=columns, rows=rows)


def _steps(measured: Measured) -> Table:
    rows = [
        [name, *(f"{median(each.get(step, 0.0) for each in found):.1f}" for step in STEPS)]
        for name, found in measured.steps.items()
    ]
    return Table(title="Where the time goes, median ms", columns=["caller", *STEPS], rows=rows)


def _limit(measured: Measured) -> str:
    step = {name: median(each.get(name, 0) for each in measured.steps["no groups"]) for name in STEPS}
    one_after_the_other = step["embedding"] + step["vector"] + step["catalogue"]
    processor, cores = median(measured.processor) * 1000, len(os.sched_getaffinity(0))
    return (
        f"A search takes {processor:.0f} ms of processor, so that {cores} cores need {processor / cores:.0f} ms in "
        f"whatever order. The question's vector, LanceDB's search for its neighbours and the look at the catalogue "
        f"need each other's answers: {one_after_the_other:.0f} of {step['all']:.0f} ms, while the search for words "
        "takes another core."
    )


def _targets(measured: Measured) -> list[Target]:
    alone, member = (measured.milliseconds(name, 0.5) for name in CALLERS)
    worst = min(mean(shares) for shares in measured.recall.values())
    targets = [
        Target(what=f"p{share * 100:.0f}, {name}", measured=measured.milliseconds(name, share), limit=limit, unit="ms")
        for name in CALLERS
        for share, limit in ((0.5, 30.0), (0.99, 100.0))
    ]
    flat = median(measured.flat) * 1000
    return [
        *targets,
        Target(what="p50 over a comparison of all vectors", measured=alone / flat, limit=30 / 91),
        Target(what="p99 over the same", measured=measured.milliseconds("no groups", 0.99) / flat, limit=100 / 91),
        Target(what="p50 in 200 groups over none", measured=member / alone, limit=1.5),
        Target(what="recall@10 of the vector list", measured=worst, limit=0.95, at_most=False),
        Target(what="memory of the process", measured=measured.memory / 1e9, limit=1.5, unit="GB"),
    ]


BENCHMARK = Benchmark("scale", "Search in 100,000 chunks", ABOUT, run)
