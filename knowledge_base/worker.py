"""Turns accepted files into searchable chunks: extract -> chunk -> embed -> index -> publish. And it erases.

Each step may be repeated: a worker that dies loses nothing, and nothing is visible before `publish`.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeVar

import structlog

from common.errors import AppError, Unavailable
from common.jobs import Job, JobQueue
from common.jobs.bell import Bell
from knowledge_base.chunking import chunk, embedding_text
from knowledge_base.documents import Chunk, IndexedChunk, Published, Task, Vector, Version
from knowledge_base.erasure import Erasure, Erasures, not_done
from knowledge_base.files import Refused
from knowledge_base.ports import Catalog, ChunkIndex, Embedder, ObjectStore, Parser

T = TypeVar("T")
log = structlog.get_logger(__name__)
BATCH = 32
"""Documents that share one commit of the index."""
LANES = 2
"""Batches under way at once: while one is written, the next one is embedded. Memory bounds their number."""
LOOK_SECONDS = 5.0
"""A worker that waits for a bell looks at the queue so often by itself: what was rung for can get lost."""
READERS = 4
"""Documents that are read and cut at the same time."""


@dataclass(frozen=True)
class Prepared:
    """A document that is ready for the index."""

    job: Job
    published: Published
    chunks: list[IndexedChunk]


class IngestWorker:
    """Works on ingest jobs until it is stopped; any number may run, in any number of processes."""

    def __init__(
        self,
        queue: JobQueue,
        catalog: Catalog,
        objects: ObjectStore,
        parser: Parser,
        embedder: Embedder,
        index: ChunkIndex,
    ) -> None:
        self._queue = queue
        self._catalog = catalog
        self._objects = objects
        self._parser = parser
        self._embedder = embedder
        self._index = index
        self._reading = asyncio.Semaphore(READERS)
        self._writing = asyncio.Lock()
        self._lanes = asyncio.Semaphore(LANES)
        self._untidy = False
        self.erasures = Erasures(queue, catalog, objects, index)

    async def run(self, idle_seconds: float = 0.5) -> None:
        """Work until cancelled. A failure of a backend is logged, and tried again."""
        lanes: set[asyncio.Task[None]] = set()
        tidying: asyncio.Task[None] | None = None
        try:
            while True:
                if jobs := await self._logged(self._queue.claim(BATCH)):
                    lanes.add(asyncio.create_task(self._logged(self._work(jobs))))
                else:
                    if not lanes and (tidying is None or tidying.done()):
                        tidying = asyncio.create_task(self._logged(self._tidy()))
                    await asyncio.sleep(idle_seconds)
                lanes = {lane for lane in lanes if not lane.done()}
                if len(lanes) == LANES:
                    _, lanes = await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            under_way = {*lanes, tidying} if tidying else lanes
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            await self.erasures.close()

    async def serve(self, bell: Bell, look_seconds: float = LOOK_SECONDS) -> None:
        """Work when the bell rings, until cancelled; and look after what nobody rings for any more."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(bell.listen(self.drain))
                group.create_task(self._look(bell, look_seconds))
        finally:
            await self.erasures.close()

    async def drain(self) -> None:
        """Work until nothing is ready."""
        async with self._lanes:
            while await self._logged(self._take(BATCH)):
                pass

    async def _look(self, bell: Bell, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds * random.uniform(0.75, 1.25))  # noqa: S311 - so that workers take turns
            depth = await self._logged(self._queue.depth())
            if depth is None:
                continue
            if depth.ready and depth.oldest_seconds > seconds / 2:
                # Of all workers that see it, one rings. Without a bell this one does what there is.
                rings = math.ceil(depth.ready / BATCH)
                if not await bell.ring(rings, key=f"look-{int(time.time() / seconds)}"):
                    await self.drain()
            elif not depth.waiting:
                await self._logged(self._tidy())

    async def work_once(self, limit: int = BATCH) -> int:
        """One batch, with its erasures; returns how many jobs were taken."""
        taken = await self._take(limit)
        await self.erasures.idle()
        return taken

    async def _take(self, limit: int) -> int:
        jobs = await self._queue.claim(limit)
        if jobs:
            await self._work(jobs)
        return len(jobs)

    async def _logged(self, work: Coroutine[Any, Any, T]) -> T | None:
        try:
            return await work
        except Exception as error:
            log.error("ingest.failed", exc_info=error)
            return None

    async def _work(self, jobs: Sequence[Job]) -> None:
        async with self._leased(jobs):
            prepared = await self._prepare(jobs)
            async with self._writing:
                await self._publish_or_fail(prepared)
        if self.erasures.full:
            await self.erasures.idle()

    async def _tidy(self) -> None:
        """Others change the index, too, so it is asked each time."""
        written, self._untidy = self._untidy, False
        await self._index.tidy(written)

    @asynccontextmanager
    async def _leased(self, jobs: Sequence[Job]) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(self._queue.lease_seconds / 3)
                await self._logged(self._queue.heartbeat(jobs))

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _prepare(self, jobs: Sequence[Job]) -> list[Prepared]:
        """Do what the jobs ask for, up to what is to be published."""
        tasks = [Task(**job.payload) for job in jobs]
        wanted = [(job.tenant, task.document_id, task.version) for job, task in zip(jobs, tasks, strict=True)]
        versions = await self._catalog.versions(wanted)
        each = zip(jobs, tasks, map(versions.get, wanted), strict=True)
        found = await asyncio.gather(*(self._try(job, task, version) for job, task, version in each))
        return [prepared for prepared in found if prepared is not None]

    async def _try(self, job: Job, task: Task, version: Version | None) -> Prepared | None:
        try:
            if task.kind == "ingest":
                if version:
                    return await self._ingest(job, version, task.life)
                self.erasures.put(Erasure(job, overtaken=True))
            elif task.kind == "access":
                await self.change_access(job)
            else:
                self.erasures.put(Erasure(job))
        except Exception as error:
            await not_done(self._queue, job, error)
        return None

    async def change_access(self, job: Job) -> None:
        """Do the job of a change of rights."""
        await self.apply_access(job.tenant, Task(**job.payload).document_id)
        await self._queue.finish([job])

    async def apply_access(self, tenant: str, document_id: str) -> None:
        """Tell the index who may read a document, until both agree: another change may come in between."""
        applied = None
        while (wanted := await self._catalog.access(tenant, document_id)) is not None and wanted != applied:
            await self._index.set_access(tenant, document_id, wanted)
            applied = wanted

    async def _ingest(self, job: Job, version: Version, life: int) -> Prepared:
        async with self._reading:
            parsed = await self._parser.parse(version.name, await self._objects.get(version.object_key))
            title = version.title or parsed.title or PurePath(version.name).stem
            text, chunks, texts = await asyncio.to_thread(_cut, title, parsed.text)
            text_key = await self._objects.put(text, version.tenant, version.document_id, life)
        vectors = await self._embedder.embed(texts)
        published = Published(version.tenant, version.document_id, version.version, title, text_key, version.created_at)
        indexed = [_indexed(version, published, *each) for each in zip(chunks, vectors, strict=True)]
        return Prepared(job, published, indexed)

    async def _publish_or_fail(self, prepared: Sequence[Prepared]) -> None:
        """Together; if that fails one by one, so that the one that cannot be written does not hold up the others."""
        jobs = [document.job for document in prepared]
        try:
            await self._publish(prepared)
        except Unavailable as error:
            await self._queue.release(jobs, str(error))
        except Exception as error:
            log.error("ingest.publish_failed", documents=len(prepared), exc_info=error)
            if len(prepared) == 1:
                await self._unwritten(jobs[0], error)
                return
            for document in prepared:
                await self._publish_or_fail([document])

    async def _unwritten(self, job: Job, error: Exception) -> None:
        message = str(error) if isinstance(error, AppError) else "It could not be written; see the log."
        await self._queue.fail(job, message, retry=not isinstance(error, Refused))

    async def _publish(self, prepared: Sequence[Prepared]) -> None:
        if not prepared:
            return
        self._untidy = True
        await self._index.add([part for document in prepared for part in document.chunks])
        publication = await self._catalog.publish([document.published for document in prepared])
        await self._index.supersede(publication.ended)
        done = []
        for document, rights in zip(prepared, publication.rights, strict=True):
            if rights is None:
                # Its chunks and objects have come after the erasure.
                self.erasures.put(Erasure(document.job, overtaken=True))
                continue
            if rights != document.chunks[0].access:
                # They have changed since the chunks were made.
                await self.apply_access(document.published.tenant, document.published.document_id)
            done.append(document.job)
        await self._queue.finish(done)


def _cut(title: str, text: str) -> tuple[bytes, list[Chunk], list[str]]:
    """A text as it is stored, its chunks, and what is embedded of each."""
    chunks = chunk(text)
    return text.encode(), chunks, [embedding_text(title, part) for part in chunks]


def _indexed(version: Version, published: Published, part: Chunk, vector: Vector) -> IndexedChunk:
    return IndexedChunk(
        tenant=version.tenant,
        document_id=version.document_id,
        version=version.version,
        title=published.title,
        chunk=part,
        access=version.access,
        metadata=version.metadata,
        vector=vector,
        published_at=published.at,
    )
