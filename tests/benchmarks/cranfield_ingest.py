"""Takes the Cranfield collection in as any document is, and compares with what the embedder alone can do."""

import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from common.security.access import Access, AccessScope
from common.settings import CommonSettings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.chunking import chunk, embedding_text
from knowledge_base.documents import NewDocument
from knowledge_base.files import Refused
from knowledge_base.settings import KnowledgeBaseSettings
from tests.benchmarks.benchmark import Run
from tests.benchmarks.collection import Abstract, Collection

TENANT = "cranfield"
OPERATOR = AccessScope(TENANT, "operator", clearance="restricted")
SAMPLE = 200
SLICE = 25
BATCHES_A_SLICE = 5


@dataclass
class Ingested:
    """What became of the documents; `embedder` is documents a second of the embedder alone."""

    documents: int = 0
    chunks: int = 0
    accept_seconds: float = 0.0
    index_seconds: float = 0.0
    embedder: float = 0.0
    refused: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        return self.accept_seconds + self.index_seconds


@asynccontextmanager
async def collection_in(
    run: Run, collection: Collection, folder: Path
) -> AsyncIterator[tuple[KnowledgeBase, Ingested]]:
    """A knowledge base that has the whole collection."""
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder), KnowledgeBaseSettings())
    abstracts = collection.abstracts[:: 10 if run.quick else 1]
    sample = [abstract for abstract in abstracts if abstract.text]
    sample = sample[:: max(1, len(sample) // SAMPLE)][:SAMPLE]
    async with opened(knowledge_base, work=False):
        await knowledge_base.embedder.embed(["load", "the model"])
        ingested = Ingested()
        await _accept(run, knowledge_base, abstracts, ingested)
        await _index(run, knowledge_base, sample, ingested)
        ingested.chunks = sum(len(chunk(abstract.text)) for abstract in abstracts if abstract.text)
        yield knowledge_base, ingested


async def _accept(run: Run, knowledge_base: KnowledgeBase, abstracts: Sequence[Abstract], ingested: Ingested) -> None:
    started = time.perf_counter()
    refused = []
    with run.progress("accepted", len(abstracts)) as progress:
        for done, abstract in enumerate(abstracts, start=1):
            try:
                await knowledge_base.library.add(_document(abstract), OPERATOR, operator=True)
                ingested.documents += 1
            except Refused as error:
                refused.append(str(error))
            progress(done)
    ingested.refused = refused
    ingested.accept_seconds = time.perf_counter() - started


async def _index(run: Run, knowledge_base: KnowledgeBase, sample: Sequence[Abstract], ingested: Ingested) -> None:
    """Work until nothing is left. Now and then a slice of the sample is embedded alone, so that both drift alike."""
    slices = deque(sample[start : start + SLICE] for start in range(0, len(sample), SLICE))
    done = batches = 0
    alone = 0.0
    with run.progress("searchable", ingested.documents) as progress:
        while taken := await _timed_batch(knowledge_base, ingested):
            done, batches = done + taken, batches + 1
            progress(done)
            if batches % BATCHES_A_SLICE == 0 and slices:
                alone += await _embed_alone(knowledge_base, slices.popleft())
    while slices:
        alone += await _embed_alone(knowledge_base, slices.popleft())
    ingested.embedder = len(sample) / alone
    started = time.perf_counter()
    await knowledge_base.index.optimize()
    ingested.index_seconds += time.perf_counter() - started


async def _timed_batch(knowledge_base: KnowledgeBase, ingested: Ingested) -> int:
    started = time.perf_counter()
    taken = await knowledge_base.worker.work_once()
    ingested.index_seconds += time.perf_counter() - started
    return taken


async def _embed_alone(knowledge_base: KnowledgeBase, abstracts: Sequence[Abstract]) -> float:
    """Seconds for the texts that the worker embeds for these documents."""
    texts = [embedding_text(abstract.title, part) for abstract in abstracts for part in chunk(abstract.text)]
    started = time.perf_counter()
    await knowledge_base.embedder.embed(texts)
    return time.perf_counter() - started


def _document(abstract: Abstract) -> NewDocument:
    name = f"{abstract.id}.txt"
    return NewDocument(TENANT, abstract.id, name, abstract.text.encode(), Access("public"), abstract.title)
