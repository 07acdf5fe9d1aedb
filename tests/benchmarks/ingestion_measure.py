"""`python -m tests.benchmarks.ingestion_measure FOLDER DOCUMENTS`: takes a folder in, beside what the embedder can do.

Prints a line of JSON for each portion of the documents. The process does nothing else, so that its memory is
ingestion's own.
"""

import asyncio
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from common.jobs import new_batch
from common.security.access import Access, AccessScope
from common.settings import CommonSettings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.chunking import chunk, embedding_text
from knowledge_base.documents import Vector
from knowledge_base.settings import KnowledgeBaseSettings
from knowledge_base.sources import find_sources, place_of
from tests.benchmarks.collection import read_collection

OPERATOR = AccessScope("bench", "operator", clearance="restricted")
PORTION = 250
SLICE = 50
IDLE_SECONDS = 0.02


@dataclass(frozen=True)
class Portion:
    """What became of some of the documents, and of the texts that the embedder alone was given after them."""

    documents: int
    accepting_seconds: float
    seconds: float
    cpu_seconds: float
    alone_documents: int
    alone_seconds: float
    alone_cpu_seconds: float
    memory_mib: float


def write_documents(folder: Path, count: int) -> Sequence[str]:
    """Markdown files, in portions. Each has another text: the vectors of known ones are kept."""
    readable = [abstract for abstract in read_collection().abstracts if abstract.text]
    documents = [f"# {abstract.title}\n\n{abstract.text}\n" for abstract in readable]
    texts = documents[:count]
    for number, text in enumerate(texts):
        file = folder / f"{number // PORTION:03}" / f"{number:05}.md"
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    return texts


async def measure(folder: Path, count: int) -> None:
    """Portion by portion, the embedder alone in between: both meet the same machine."""
    texts = write_documents(folder / "files", count)
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder / "data"), KnowledgeBaseSettings())
    async with opened(knowledge_base, work=False):
        embed = knowledge_base.embedder._embed  # type: ignore[attr-defined]  # no loop, no order, no cache
        embed("load the model")
        await knowledge_base.index.warm()
        worker = asyncio.create_task(knowledge_base.worker.run(IDLE_SECONDS))
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for number, part in enumerate(sorted((folder / "files").iterdir())):
                slice_ = texts[number * PORTION :][:SLICE]
                ingested = await _ingest(knowledge_base, part)
                alone = await asyncio.to_thread(_alone, pool, embed, slice_)
                memory = _memory_mib()
                found = Portion(len(list(part.iterdir())), *ingested, len(slice_), *alone, memory)
                print(json.dumps(dataclasses.asdict(found)), flush=True)
        worker.cancel()


async def _ingest(knowledge_base: KnowledgeBase, part: Path) -> tuple[float, float, float]:
    """Accept all files of a folder while the worker works; until all are searchable."""
    batch, started, cpu = new_batch(), time.perf_counter(), time.process_time()
    with ExitStack() as stack:
        sources = find_sources([place_of(part)], knowledge_base.ingest.rules, stack)
        async for outcome in knowledge_base.ingest.accept(sources, OPERATOR, Access("public"), batch, operator=True):
            if outcome.refused:
                raise RuntimeError(outcome.refused)
    accepted = time.perf_counter()
    while (status := await knowledge_base.queue.progress(batch)) and not status.complete:
        await asyncio.sleep(0.05)
    if status is None or status.failed:
        raise RuntimeError(f"not all became searchable: {status}")
    return accepted - started, time.perf_counter() - started, time.process_time() - cpu


def _alone(pool: ThreadPoolExecutor, embed: Callable[[str], Vector], documents: Sequence[str]) -> tuple[float, float]:
    """The texts that the worker embeds for these documents, one at a time from a thread for each core."""
    texts = []
    for document in documents:
        title, _, body = document.removeprefix("# ").partition("\n")
        texts += [embedding_text(title, part) for part in chunk(document)]
    started, cpu = time.perf_counter(), time.process_time()
    list(pool.map(embed, texts))
    return time.perf_counter() - started, time.process_time() - cpu


def _memory_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1]), int(sys.argv[2])))
