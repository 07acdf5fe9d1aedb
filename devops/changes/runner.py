"""Works on changes in the background: in the server, or in `triptych worker devops`."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import structlog

from devops.changes.change import Change
from devops.changes.execution import Executor
from devops.changes.people import acting_as
from devops.changes.ports import ChangeStore
from devops.changes.sweeping import Sweeper

PAUSE_SECONDS = 0.5
SWEEP_SECONDS = 2.0
FINISH_SECONDS = 15.0
MAX_AT_ONCE = 8
log = structlog.get_logger(__name__)


class Runner:
    """Takes up what is approved, and sweeps."""

    def __init__(self, store: ChangeStore, executor: Executor, sweeper: Sweeper) -> None:
        self._store = store
        self._executor = executor
        self._sweeper = sweeper
        self._running: dict[str, asyncio.Task[None]] = {}
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Something was approved here: do not wait for the next look."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled; what runs then may finish for a while."""
        sweeping = asyncio.create_task(self._sweep_forever())
        try:
            while True:
                await self._guarded(self._take_up())
                self._wanted.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), PAUSE_SECONDS)
        finally:
            sweeping.cancel()
            if self._running:
                _, late = await asyncio.wait(self._running.values(), timeout=FINISH_SECONDS)
                for task in late:
                    task.cancel()

    async def _take_up(self) -> None:
        for change in await self._store.approved(MAX_AT_ONCE):
            if change.id not in self._running and len(self._running) < MAX_AT_ONCE:
                task = asyncio.create_task(self._execute(change))
                self._running[change.id] = task

    async def _execute(self, change: Change) -> None:
        try:
            with acting_as(change.draft.requester):
                await self._guarded(self._executor.execute(change))
        finally:
            self._running.pop(change.id, None)

    async def _sweep_forever(self) -> None:
        while True:
            await self._guarded(self._sweeper.sweep())
            await asyncio.sleep(SWEEP_SECONDS)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            # The database or the audit log is away: nothing was claimed, so the next round may try again.
            log.warning("changes.round_failed", error=f"{type(error).__name__}: {error}"[:300])
