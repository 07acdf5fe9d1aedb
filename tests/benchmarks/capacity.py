"""What a knowledge base of a size needs: disk, memory, and the time of a search."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common.security.access import AccessScope
from common.settings import CommonSettings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.settings import KnowledgeBaseSettings
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.collection import Collection, read_collection
from tests.benchmarks.machine import resident_bytes
from tests.benchmarks.result import Result, Table, percentile
from tests.benchmarks.scale_data import CHUNKS_A_DOCUMENT, GROUPS, Filling

ABOUT = """The same synthetic chunks as in "Search in 100,000 chunks" go into the embedded profile, in groups. At each
size the worker tidies the index, and Cranfield questions that nobody asked before are put to `Search.search`, hybrid,
one after the other, by a caller in 20 groups. Disk is that of the index and the catalogue; the files themselves come on
top, as large as they are, and their texts once more. Memory is that of the process, less what the benchmark keeps."""
SIZES, QUICK = (1_000, 5_000, 10_000), (500, 1_000)
"""Documents; each has four chunks."""
QUESTIONS = 40
MEMBER = AccessScope("acme", "ada", frozenset(GROUPS[:20]), "confidential")


@dataclass(frozen=True)
class Size:
    """What one size takes. Bytes and seconds."""

    documents: int
    index: int
    catalog: int
    memory: int
    searches: list[float]

    @property
    def row(self) -> list[str]:
        """As it is shown."""
        chunks = self.documents * CHUNKS_A_DOCUMENT
        times = [f"{percentile(self.searches, share) * 1000:.0f}" for share in (0.5, 0.95)]
        disk = [
            f"{self.index / 1e6:.0f}",
            f"{self.catalog / 1e6:.0f}",
            f"{(self.index + self.catalog) / chunks / 1e3:.1f}",
        ]
        return [f"{self.documents:,}", f"{chunks:,}", *disk, f"{self.memory / 1e6:.0f}", *times]


def run(run: Run) -> Result:
    """Fill, and ask at each size."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = asyncio.run(_measure(run, read_collection(), Path(folder)))
    columns = ["documents", "chunks", "index, MB", "catalogue, MB", "kB a chunk", "memory, MB", "search p50, ms", "p95"]
    return Result(tables=[Table(title="By size", columns=columns, rows=[size.row for size in sizes])], targets=[])


async def _measure(run: Run, collection: Collection, folder: Path) -> list[Size]:
    import numpy as np

    wanted = QUICK if run.quick else SIZES
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder), KnowledgeBaseSettings())
    texts = [abstract.text for abstract in collection.abstracts if abstract.text][::12]
    questions = iter(collection.questions.values())
    found = []
    async with opened(knowledge_base, work=False):
        filling = Filling(knowledge_base, texts, np.stack(await knowledge_base.embedder.embed(texts)), wanted[-1])
        with run.progress("filled in", wanted[-1]) as progress:
            for documents in wanted:
                while len(filling.world.documents) < documents:
                    progress(await filling.next_group())
                await knowledge_base.index.tidy(at_once=True)
                searches = [await _asked(knowledge_base, next(questions)) for _ in range(QUESTIONS)]
                rooms = folder / "knowledge-base"
                memory = resident_bytes() - filling.world.vectors.nbytes
                found.append(Size(documents, _bytes(rooms / "index"), _bytes(rooms / "catalog.db"), memory, searches))
    return found


async def _asked(knowledge_base: KnowledgeBase, question: str) -> float:
    started = time.perf_counter()
    await knowledge_base.search.search(question, MEMBER)
    return time.perf_counter() - started


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    return sum(file.stat().st_size for file in files if file.is_file())


BENCHMARK = Benchmark("capacity", "What a size needs", ABOUT, run)
