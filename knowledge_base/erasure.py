"""Takes what was deleted out of index, objects and catalogue, in a lane of its own: an index may take minutes over it.

Ingestion goes on beside. What waits in the lane shares one clean-up of the index.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from common.errors import AppError, NotFound, Unavailable
from common.files import Refused
from common.jobs import Job, JobQueue
from knowledge_base.documents import Task
from knowledge_base.ports import Catalog, ChunkIndex, ObjectStore

log = structlog.get_logger(__name__)
MOST = 256
"""Erasures that may wait here. Beyond that they hold up what comes, and are left to other workers."""


@dataclass(frozen=True)
class Erasure:
    """A job, and how it ends: `overtaken` is the ingest of what was deleted meanwhile."""

    job: Job
    overtaken: bool = False

    @property
    def task(self) -> Task:
        return Task(**self.job.payload)


class Erasures:
    """The lane. Each step may be repeated; rows go last, so that an erasure that was cut short is known to be one."""

    def __init__(self, queue: JobQueue, catalog: Catalog, objects: ObjectStore, index: ChunkIndex) -> None:
        self._queue = queue
        self._catalog = catalog
        self._objects = objects
        self._index = index
        self._waiting: list[Erasure] = []
        self._under_way: list[Erasure] = []
        self._lane: asyncio.Task[None] | None = None

    def put(self, erasure: Erasure) -> None:
        """Into the lane, which keeps its job claimed."""
        self._waiting.append(erasure)
        if self._lane is None or self._lane.done():
            self._lane = asyncio.create_task(self._work())

    @property
    def full(self) -> bool:
        """Whether no more should be put into it."""
        return len(self._waiting) + len(self._under_way) >= MOST

    async def idle(self) -> None:
        """Wait until all is done; raises what ended the lane."""
        while self._lane is not None and not self._lane.done():
            await asyncio.wait([self._lane])
        if self._lane is not None:
            self._lane.result()

    async def close(self) -> None:
        """Stop. What is not done is somebody else's when its lease ends."""
        if self._lane is not None:
            self._lane.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._lane

    async def erase(self, erasures: Sequence[Erasure]) -> None:
        """All of them together. One that fails is tried again, and holds up no other."""
        removed = await asyncio.gather(*(self._settled(each, self._remove(each)) for each in erasures))
        left = [each for each, done in zip(erasures, removed, strict=True) if done]
        if not left:
            return
        try:
            # Until then the text is still in older files of the index.
            await self._index.optimize()
        except Exception as error:
            await asyncio.gather(*(not_done(self._queue, each.job, error) for each in left))
            return
        await asyncio.gather(*(self._settled(each, self._forget(each)) for each in left))

    async def _work(self) -> None:
        beat = asyncio.create_task(self._beat())
        try:
            while self._waiting:
                self._under_way, self._waiting = self._waiting, []
                await self.erase(self._under_way)
        finally:
            self._under_way = []
            beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beat

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._queue.lease_seconds / 3)
            try:
                await self._queue.heartbeat([each.job for each in (*self._under_way, *self._waiting)])
            except Exception as error:
                log.error("erasure.heartbeat_failed", exc_info=error)

    async def _remove(self, erasure: Erasure) -> None:
        tenant, task = erasure.job.tenant, erasure.task
        await self._index.remove(tenant, task.document_id, task.version)
        await self._objects.erase(tenant, task.document_id, task.life)

    async def _forget(self, erasure: Erasure) -> None:
        job, task = erasure.job, erasure.task
        await self._catalog.forget(job.tenant, task.document_id, task.version)
        if erasure.overtaken:
            await self._queue.fail(job, "It was deleted before it became searchable.", retry=False)
        else:
            await self._queue.finish([job])

    async def _settled(self, erasure: Erasure, step: Coroutine[Any, Any, None]) -> bool:
        try:
            await step
        except Exception as error:
            await not_done(self._queue, erasure.job, error)
            return False
        return True


async def not_done(queue: JobQueue, job: Job, error: Exception) -> None:
    """What becomes of a job that failed: it is refused for good, given back, or tried again."""
    if isinstance(error, Refused | NotFound):
        await queue.fail(job, str(error), retry=False)
    elif isinstance(error, Unavailable):
        await queue.release([job], str(error))
    else:
        log.error("ingest.document_failed", document_id=job.payload.get("document_id"), exc_info=error)
        known = isinstance(error, AppError)
        await queue.fail(job, str(error) if known else "It could not be processed; see the log.", retry=True)
