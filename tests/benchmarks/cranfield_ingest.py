"""Takes the Cranfield collection in as any document is, and compares with what the embedder alone can do."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
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
from tests.benchmarks.machine import Watch

TENANT = "cranfield"
OPERATOR = AccessScope(TENANT, "operator", clearance="restricted")
SAMPLE = 200
SLICE = 25
BATCHES_A_SLICE = 5


@dataclass
class Ingested:
    """What became of the documents, and how long each part took; `alone` is the embedder by itself on the sample."""

    documents: int = 0
    chunks: int = 0
    sample: int = 0
    refused: list[str] = field(default_factory=list)
    accepting: Watch = field(default_factory=Watch)
    indexing: Watch = field(default_factory=Watch)
    alone: Watch = field(default_factory=Watch)

    @property
    def per_second(self) -> float:
        return self.documents / (self.accepting.seconds + self.indexing.seconds)

    @property
    def embedder_per_second(self) -> float:
        return self.sample / self.alone.seconds


@asynccontextmanager
async def collection_in(
    run: Run, collection: Collection, folder: Path
) -> AsyncIterator[tuple[KnowledgeBase, Ingested]]:
    """A knowledge base that has the whole collection."""
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder), KnowledgeBaseSettings())
    abstracts = collection.abstracts[:: 10 if run.quick else 1]
    readable = [abstract for abstract in abstracts if abstract.text]
    sample = readable[:: max(1, len(readable) // SAMPLE)][:SAMPLE]
    ingested = Ingested(chunks=sum(len(chunk(abstract.text)) for abstract in readable), sample=len(sample))
    async with opened(knowledge_base, work=False):
        await knowledge_base.embedder.embed(["load", "the model"])
        await _accept(run, knowledge_base, abstracts, ingested)
        await _index(run, knowledge_base, sample, ingested)
        yield knowledge_base, ingested


async def _accept(run: Run, knowledge_base: KnowledgeBase, abstracts: Sequence[Abstract], ingested: Ingested) -> None:
    with run.progress("accepted", len(abstracts)) as progress, ingested.accepting:
        for done, abstract in enumerate(abstracts, start=1):
            try:
                await knowledge_base.library.add(_document(abstract), OPERATOR, operator=True)
                ingested.documents += 1
            except Refused as error:
                ingested.refused.append(str(error))
            progress(done)


async def _index(run: Run, knowledge_base: KnowledgeBase, sample: Sequence[Abstract], ingested: Ingested) -> None:
    """Work until nothing is left; now and then embed a slice of the sample alone: both meet the same machine."""
    slices = deque(sample[start : start + SLICE] for start in range(0, len(sample), SLICE))
    done = 0
    with run.progress("searchable", ingested.documents) as progress:
        for batch in count(1):
            with ingested.indexing:
                done += (taken := await knowledge_base.worker.work_once())
            progress(done)
            if slices and (batch % BATCHES_A_SLICE == 0 or not taken):
                await _embed_alone(knowledge_base, slices.popleft(), ingested)
            elif not taken:
                break
    with ingested.indexing:
        await knowledge_base.index.optimize()


async def _embed_alone(knowledge_base: KnowledgeBase, abstracts: Sequence[Abstract], ingested: Ingested) -> None:
    """The texts that the worker embeds for these documents."""
    texts = [embedding_text(abstract.title, part) for abstract in abstracts for part in chunk(abstract.text)]
    with ingested.alone:
        await knowledge_base.embedder.embed(texts)


def _document(abstract: Abstract) -> NewDocument:
    name = f"{abstract.id}.txt"
    return NewDocument(TENANT, abstract.id, name, abstract.text.encode(), Access("public"), abstract.title)
