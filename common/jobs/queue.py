"""The port of a job queue.

How a job gets in is not here: who changes data records its job in the same transaction, each backend in its own way.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from common.jobs.job import DeadLetter, Depth, Job, Progress


class JobQueue(Protocol):
    """Hands out jobs to workers of any process. What a worker says of a job counts only while its claim does."""

    lease_seconds: float

    async def claim(self, limit: int) -> list[Job]:
        """Take jobs that are ready, or whose worker's lease ran out. One that ended too many workers is given up."""

    async def heartbeat(self, claimed: Sequence[Job]) -> None:
        """Extend the lease of jobs that are still being worked on."""

    async def finish(self, finished: Sequence[Job]) -> None:
        """Mark jobs done; those that somebody else has claimed since are left to him."""

    async def fail(self, job: Job, error: str, retry: bool) -> None:
        """Try again after a growing pause, or after the last try give up; without `retry` it is refused for good."""

    async def release(self, claimed: Sequence[Job], error: str) -> None:
        """Give jobs back that could not be done through no fault of theirs: a backend is away. It counts as no try."""

    async def record(
        self, batch: str, tenant: str, subject: str, payload: dict[str, Any], state: str, error: str | None = None
    ) -> None:
        """Add what needs no work to a batch: `done` already, or `failed` for good."""

    async def cancel(self, batch: str, kind: str) -> int:
        """Withdraw jobs of a batch that nobody has begun, of one kind (`payload["kind"]`); returns how many."""

    async def progress(self, batch: str) -> Progress | None:
        """Counts of a batch and its first 20 errors, or None."""

    async def newest(self, tenant: str, subject: str | None, limit: int) -> list[Progress]:
        """The batches of a tenant, or of one person, that began last; without their errors."""

    async def dead_letters(self, tenant: str | None, limit: int) -> list[DeadLetter]:
        """Jobs that were given up, of one tenant or of all, the newest first."""

    async def dead_letter(self, job_id: str) -> DeadLetter | None:
        """One of them, or None."""

    async def replay(self, job_ids: Sequence[str]) -> int:
        """Let jobs that were given up be tried again, from the first try on; returns how many were."""

    async def depth(self) -> Depth:
        """How long the queue is."""

    async def pending(self) -> int:
        """Jobs that are not finished."""
