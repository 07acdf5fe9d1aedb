"""What a job is, where a batch of them stands, and when one that failed is tried again."""

import random
import uuid
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "dead", "cancelled"]
"""`failed`: refused for good. `dead`: given up after too many tries, or after it ended too many workers."""
RECENT_SECONDS = 30.0
"""The time over which the rate of a batch is measured."""


@dataclass(frozen=True)
class Job:
    """A claimed job, the `attempt`th time; 0 if it was never claimed. `failures` of the claims ended in an error."""

    id: str
    batch: str
    tenant: str
    subject: str
    payload: dict[str, Any]
    attempt: int
    failures: int = 0


@dataclass(frozen=True)
class Retry:
    """How often a job is tried, and the pauses in between, which grow and are never the same for two jobs."""

    tries: int = 5
    max_lost: int = 20
    """Workers that may die, or lose their lease, over one job until it is held for the cause of it."""
    max_pause_seconds: float = 60.0

    def pause(self, failures: int) -> float:
        """Seconds before the next try: 2, 4, 8, ... and up to half of it more or less."""
        return float(min(2.0**failures, self.max_pause_seconds)) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret


@dataclass(frozen=True)
class Progress:
    """Where a batch stands. `failed` are those that were refused or given up; `recent` ended in the last seconds."""

    batch: str
    tenant: str
    subject: str
    total: int
    done: int
    failed: int
    created: float
    errors: list[dict[str, Any]]
    cancelled: int = 0
    recent: int = 0
    seconds: float = 0.0
    """Since the batch began, or what it took."""

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.cancelled

    @property
    def complete(self) -> bool:
        return self.ended == self.total

    @property
    def state(self) -> str:
        if not self.complete:
            return "running" if self.ended else "queued"
        if self.cancelled:
            return "cancelled"
        return "failed" if self.failed == self.total and self.total else "finished"

    @property
    def rate(self) -> float:
        """Jobs a second: of the last seconds, or of the whole batch once it is complete."""
        ended, seconds = (
            (self.ended, self.seconds) if self.complete else (self.recent, min(self.seconds, RECENT_SECONDS))
        )
        return ended / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """As far as the rate tells; None while nothing moves."""
        if self.complete:
            return 0.0
        return (self.total - self.ended) / self.rate if self.rate else None


@dataclass(frozen=True)
class DeadLetter:
    """A job that was given up, why, and when (seconds since 1970)."""

    job: Job
    error: str
    at: float


@dataclass(frozen=True)
class Depth:
    """How long the queue is: `ready` may be taken now, `oldest_seconds` is how long the first of them has waited."""

    queued: int = 0
    running: int = 0
    dead: int = 0
    ready: int = 0
    oldest_seconds: float = 0.0

    @property
    def waiting(self) -> int:
        """What is not finished."""
        return self.queued + self.running


def new_batch() -> str:
    """An id for jobs that belong together."""
    return str(uuid.uuid4())
