"""Works on changes in the background: in the server, or in `triptych worker devops`."""

import asyncio
import contextlib
import time
from collections import Counter
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
AGAIN_SECONDS = 2.0
"""After which a change is tried again that could not be executed."""
MAX_AT_ONCE = 8
"""On one cluster, so that one that does not answer holds no other up."""
log = structlog.get_logger(__name__)


class Runner:
    """Takes up what is approved, and sweeps."""

    def __init__(self, store: ChangeStore, executor: Executor, sweeper: Sweeper) -> None:
        self._store = store
        self._executor = executor
        self._sweeper = sweeper
        self._running: dict[str, asyncio.Task[None]] = {}
        self._busy: Counter[str] = Counter()
        self._tried: dict[str, float] = {}
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
        """Everything approved has its turn: what cannot be executed now stands behind what was not tried yet."""
        now = time.monotonic()
        resting = [each for each, at in self._tried.items() if now - at < AGAIN_SECONDS]
        waiting = await self._store.approved(but=[*self._running, *resting])
        known = {*self._running, *resting, *(change.id for change in waiting)}
        self._tried = {each: at for each, at in self._tried.items() if each in known}
        for change in sorted(waiting, key=lambda change: self._tried.get(change.id, 0.0)):
            if self._has_place(change):
                self._busy[change.draft.target.cluster] += 1
                self._running[change.id] = asyncio.create_task(self._execute(change))

    def _has_place(self, change: Change) -> bool:
        """Whether it may be begun beside what runs; break-glass that two people agreed on always may."""
        is_urgent = change.glass is not None and change.glass.is_agreed
        return is_urgent or self._busy[change.draft.target.cluster] < MAX_AT_ONCE

    async def _execute(self, change: Change) -> None:
        try:
            with acting_as(change.draft.requester):
                await self._guarded(self._executor.execute(change))
        finally:
            self._running.pop(change.id, None)
            self._busy[change.draft.target.cluster] -= 1
            self._tried[change.id] = time.monotonic()

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
