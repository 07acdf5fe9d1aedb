"""What a worker says of the jobs that it claimed, the same for each backend."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from common.jobs.job import Job, Retry


class Claims(ABC):
    """The part of JobQueue that changes claimed jobs; a backend says how they are changed."""

    def __init__(self, worker: str, lease_seconds: float = 60.0, retry: Retry | None = None) -> None:
        self._worker = worker
        self._retry = retry or Retry()
        self.lease_seconds = lease_seconds

    @abstractmethod
    async def _update(self, claimed: Sequence[Job], **values: Any) -> None:
        """Change these jobs, as far as nobody has claimed them again, or ended them."""

    async def heartbeat(self, claimed: Sequence[Job]) -> None:
        """See JobQueue."""
        await self._update(claimed, ready_at=time.time() + self.lease_seconds)

    async def finish(self, finished: Sequence[Job]) -> None:
        """See JobQueue."""
        await self._update(finished, state="done", error=None, ended=time.time())

    async def fail(self, job: Job, error: str, retry: bool) -> None:
        """See JobQueue."""
        failures, now = job.failures + 1, time.time()
        noted = {"failures": failures, "error": error[:1000]}
        if retry and failures < self._retry.tries:
            await self._update([job], state="queued", ready_at=now + self._retry.pause(failures), **noted)
        else:
            await self._update([job], state="dead" if retry else "failed", ended=now, **noted)

    async def release(self, claimed: Sequence[Job], error: str) -> None:
        """See JobQueue."""
        await self._update(claimed, state="queued", ready_at=time.time() + self._retry.pause(1), error=error[:1000])

    def _given_up(self, now: float) -> dict[str, Any]:
        """What becomes of a job that ended too many workers."""
        why = f"It was under way when {self._retry.max_lost + 1} workers ended, so it may have been the cause."
        return {"state": "dead", "error": why, "ended": now}


def as_new(now: float) -> dict[str, Any]:
    """What becomes of a job that is replayed."""
    return {"state": "queued", "failures": 0, "lost": 0, "ready_at": now, "error": None, "ended": None}
