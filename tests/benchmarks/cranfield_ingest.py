"""Takes the Cranfield collection in as any document is."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.security.access import Access, AccessScope
from common.settings import CommonSettings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.chunking import chunk
from knowledge_base.documents import NewDocument
from knowledge_base.files import Refused
from knowledge_base.settings import KnowledgeBaseSettings
from tests.benchmarks.benchmark import Run
from tests.benchmarks.collection import Abstract, Collection

TENANT = "cranfield"
OPERATOR = AccessScope(TENANT, "operator", clearance="restricted")


@dataclass
class Ingested:
    """What became of the documents."""

    documents: int = 0
    chunks: int = 0
    refused: list[str] = field(default_factory=list)


@asynccontextmanager
async def collection_in(
    run: Run, collection: Collection, folder: Path, settings: KnowledgeBaseSettings | None = None
) -> AsyncIterator[tuple[KnowledgeBase, Ingested]]:
    """A knowledge base that has the whole collection; by default an embedded one."""
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder), settings or KnowledgeBaseSettings())
    abstracts = collection.abstracts[:: 10 if run.quick else 1]
    readable = [abstract for abstract in abstracts if abstract.text]
    ingested = Ingested(chunks=sum(len(chunk(abstract.text)) for abstract in readable))
    async with opened(knowledge_base, work=False):
        await _accept(run, knowledge_base, abstracts, ingested)
        await _index(run, knowledge_base, ingested)
        yield knowledge_base, ingested


async def _accept(run: Run, knowledge_base: KnowledgeBase, abstracts: Sequence[Abstract], ingested: Ingested) -> None:
    with run.progress("accepted", len(abstracts)) as progress:
        for done, abstract in enumerate(abstracts, start=1):
            try:
                await knowledge_base.library.add(_document(abstract), OPERATOR, operator=True)
                ingested.documents += 1
            except Refused as error:
                ingested.refused.append(str(error))
            progress(done)


async def _index(run: Run, knowledge_base: KnowledgeBase, ingested: Ingested) -> None:
    done = 0
    with run.progress("searchable", ingested.documents) as progress:
        while taken := await knowledge_base.worker.work_once():
            done += taken
            progress(done)
    await knowledge_base.index.optimize()


def _document(abstract: Abstract) -> NewDocument:
    name = f"{abstract.id}.txt"
    return NewDocument(TENANT, abstract.id, name, abstract.text.encode(), Access("public"), abstract.title)
