"""Rings by Docket, over Redis. Only the name of the queue and a random key go there: no ids, no texts, no tokens."""

import asyncio
import contextlib
import importlib
import io
import pickle
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import structlog

from common.jobs.bell import Work

if TYPE_CHECKING:
    from docket import Docket

log = structlog.get_logger(__name__)
TASK = "wake"
MAX_RINGS = 64
"""At once: a worker that was woken goes on until nothing is ready."""
RING_SECONDS = 1.0
RECONNECT_SECONDS = 1.0
QUIET_SECONDS = 5.0
"""After a ring that failed, so that an outage of Redis does not slow down each acceptance."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into a wake-up")


class PlainPickle:
    """In place of the cloudpickle that Docket reads messages with: whoever can write to Redis runs no code here."""

    dumps = staticmethod(pickle.dumps)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Plain values; of anything else nothing is left."""
        try:
            return _Plain(io.BytesIO(data)).load()
        except Exception as error:
            log.error("bell.message_refused", reason=str(error))
            return {}


def read_plain_messages_only() -> None:
    """Docket has no setting for it."""
    import docket.docket
    import docket.execution
    import docket.strikelist

    for module in (docket.execution, docket.strikelist):
        module.cloudpickle = PlainPickle  # type: ignore[attr-defined]


class DocketBell:
    """Implements Bell. `lanes` rings are answered at once by each listener."""

    def __init__(self, url: str, name: str, lanes: int, redelivery_seconds: float, ca_file: Path | None = None) -> None:
        self._url = _with_authority(url, ca_file)
        self._name = name
        self._lanes = lanes
        self._redelivery = timedelta(seconds=redelivery_seconds)
        self._docket: Docket | None = None
        self._stack = contextlib.AsyncExitStack()
        self._opening = asyncio.Lock()
        self._quiet_until = 0.0

    async def _opened(self) -> "Docket":
        async with self._opening:
            if self._docket is None:
                # It takes a second, which the loop does not have.
                await asyncio.to_thread(importlib.import_module, "docket")
                from docket import Docket

                read_plain_messages_only()
                # What was done is told by the table of jobs, so Docket keeps nothing of it.
                docket = Docket(name=self._name, url=self._url, execution_ttl=timedelta(0))
                self._docket = await self._stack.enter_async_context(docket)
            return self._docket

    async def ring(self, times: int = 1, key: str = "") -> bool:
        """See Bell."""
        key = key or uuid.uuid4().hex
        if time.monotonic() < self._quiet_until:
            return False
        try:
            docket = await self._opened()
            async with asyncio.timeout(RING_SECONDS):
                docket.tasks.setdefault(TASK, _wake)
                for number in range(min(times, MAX_RINGS)):
                    await docket.add(TASK, key=f"{key}-{number}")()
        except Exception as error:
            # The jobs are safe in their table, and workers look there by themselves.
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            log.warning("bell.not_rung", error=f"{type(error).__name__}: {error}")
            return False
        return True

    async def listen(self, work: Work) -> None:
        """See Bell."""
        running: set[asyncio.Task[None]] = set()

        async def wake() -> None:
            task = asyncio.ensure_future(work())
            running.add(task)
            try:
                await task
            finally:
                running.discard(task)

        listening = asyncio.create_task(self._listen(wake))
        try:
            await asyncio.shield(listening)
        finally:
            # Docket waits for what it has begun, which goes on as long as there is work.
            listening.cancel()
            await asyncio.sleep(0)
            for task in running:
                task.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, wake: Work) -> None:
        task = asyncio.current_task()
        while task is not None and not task.cancelling():
            try:
                async with self._worker(wake) as worker:
                    await worker.run_forever()  # ends without an error when it is cancelled
            except Exception as error:
                log.warning("bell.not_heard", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(RECONNECT_SECONDS)

    @asynccontextmanager
    async def _worker(self, wake: Work) -> AsyncIterator[Any]:
        from docket import Worker

        docket = await self._opened()
        docket.register(wake, [TASK])
        # A name of its own: a new worker with the name of one that was killed would renew what that one had taken.
        worker = Worker(
            docket,
            name=uuid.uuid4().hex,
            concurrency=self._lanes,
            redelivery_timeout=self._redelivery,
            reconnection_delay=timedelta(seconds=RECONNECT_SECONDS),
            schedule_automatic_tasks=False,
        )
        async with worker:
            yield worker

    async def close(self) -> None:
        """Let go of Redis."""
        self._docket = None
        await self._stack.aclose()


def _with_authority(url: str, ca_file: Path | None) -> str:
    """Docket takes a URL alone."""
    if ca_file is None or not url.startswith("rediss:"):
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'ssl_ca_certs': str(ca_file)})}"


async def _wake() -> None:
    """For processes that only ring."""
