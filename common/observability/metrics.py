"""Prometheus metrics of one server, and the quantiles that its console shows."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from common.observability.siblings import Siblings

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
MOST_SUBJECTS = 1_000
REFUSED = {"denied", "unknown", "rate_limited"}
"""Outcomes of calls that the caller may not make."""


@dataclass(frozen=True)
class Latency:
    """One row of the overview; times in milliseconds."""

    action: str
    calls: int
    failed: int
    p50: float
    p95: float
    p99: float

    @property
    def error_rate(self) -> float:
        return self.failed / self.calls if self.calls else 0.0


def quantile(buckets: list[tuple[float, float]], q: float) -> float:
    """Linear interpolation within the bucket, as Prometheus' histogram_quantile does it."""
    total = buckets[-1][1]
    rank, below, start = q * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            return start if bound == float("inf") else start + (bound - start) * (rank - below) / (count - below)
        below, start = count, bound
    return start


class Metrics:
    """Counters of one server in a registry of their own."""

    def __init__(self, server: str) -> None:
        self.registry = CollectorRegistry()
        self.calls = Histogram(
            "triptych_call_seconds",
            "Time of a call by kind, action and outcome",
            ["server", "kind", "action", "outcome"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge("triptych_calls_in_flight", "Calls being served", ["server"], registry=self.registry)
        self.sign_in_failures = Counter(
            "triptych_sign_in_failures", "Requests without valid credentials", ["server"], registry=self.registry
        )
        self.unshared_limits = Counter(
            "triptych_rate_limit_unshared",
            "Calls that were limited, or not, without Redis",
            ["server"],
            registry=self.registry,
        )
        self.audit_healthy = Gauge(
            "triptych_audit_healthy", "0 while the audit log cannot be written", ["server"], registry=self.registry
        )
        self.audit_backlog = Gauge(
            "triptych_audit_backlog", "Audit records that are not durable yet", ["server"], registry=self.registry
        )
        self.queue_age = Gauge(
            "triptych_queue_oldest_seconds",
            "How long the first of the jobs that are ready has waited",
            ["server", "queue"],
            registry=self.registry,
        )
        self.subjects = Counter(
            "triptych_subject_calls",
            "Calls by person and whether policy refused them; of the first 1,000 people, the others are `other`",
            ["server", "tenant", "subject", "result"],
            registry=self.registry,
        )
        self.server = server
        self.siblings: Siblings | None = None
        self.refresh: list[Callable[[], Awaitable[None]]] = []
        """What has to be asked for before metrics are read; a failure leaves the last value."""
        self._known_subjects: set[tuple[str, str]] = set()

    def observe(self, kind: str, action: str, outcome: str, seconds: float) -> None:
        """Count one finished call."""
        self.calls.labels(self.server, kind, action, outcome).observe(seconds)

    def observe_subject(self, tenant: str, subject: str, outcome: str) -> None:
        """Count a finished call for its caller."""
        who = tenant, subject
        if who not in self._known_subjects:
            if len(self._known_subjects) >= MOST_SUBJECTS:
                who = "other", "other"
            self._known_subjects.add(who)
        self.subjects.labels(self.server, *who, "refused" if outcome in REFUSED else "passed").inc()

    def watch_queue(self, queue: str, age: Callable[[], Awaitable[float]]) -> None:
        """Show how many seconds the first job has waited; `age` is asked whenever metrics are read."""
        gauge = self.queue_age.labels(self.server, queue)

        async def refresh() -> None:
            gauge.set(await age())

        self.refresh.append(refresh)

    async def own(self) -> bytes:
        """The text format that Prometheus scrapes, of this process."""
        for refresh in self.refresh:
            with suppress(Exception):
                await refresh()
        return generate_latest(self.registry)

    async def exposition(self) -> bytes:
        """The same of all workers of this server."""
        return await self.own() if self.siblings is None else await self.siblings.exposition()

    def latencies(self) -> Iterator[Latency]:
        """Calls and quantiles per action, over all outcomes, since the start of the process."""
        cumulative: dict[str, dict[float, float]] = {}
        failed: dict[str, int] = {}
        for family in self.calls.collect():
            for sample in family.samples:
                action, outcome = sample.labels["action"], sample.labels["outcome"]
                if sample.name.endswith("_bucket"):
                    buckets = cumulative.setdefault(action, {})
                    bound = float(sample.labels["le"])
                    buckets[bound] = buckets.get(bound, 0) + sample.value
                elif sample.name.endswith("_count") and outcome not in ("ok", "input_required"):
                    failed[action] = failed.get(action, 0) + int(sample.value)
        for action, by_bound in sorted(cumulative.items()):
            rows = sorted(by_bound.items())
            p50, p95, p99 = (quantile(rows, q) * 1000 for q in (0.5, 0.95, 0.99))
            yield Latency(action, int(rows[-1][1]), failed.get(action, 0), p50, p95, p99)
