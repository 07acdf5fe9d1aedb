"""Background jobs whose truth is a table: lease, heartbeat, attempts. What is rung for them can be lost."""

from common.jobs.job import DeadLetter, Depth, Job, Progress, Retry, new_batch
from common.jobs.queue import JobQueue

__all__ = ["DeadLetter", "Depth", "Job", "JobQueue", "Progress", "Retry", "new_batch"]
