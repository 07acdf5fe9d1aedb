"""How long the queue is, as metrics: asked when they are read."""

from prometheus_client import Gauge

from common.jobs.queue import JobQueue
from common.observability.metrics import Metrics


def measure(metrics: Metrics, queue: JobQueue, name: str) -> None:
    """Add the gauges of a queue."""
    jobs = Gauge("triptych_jobs", "Jobs by state", ["server", "queue", "state"], registry=metrics.registry)

    async def refresh() -> None:
        depth = await queue.depth()
        metrics.queue_age.labels(metrics.server, name).set(depth.oldest_seconds)
        for state in ("queued", "running", "dead"):
            jobs.labels(metrics.server, name, state).set(getattr(depth, state))

    metrics.refresh.append(refresh)
