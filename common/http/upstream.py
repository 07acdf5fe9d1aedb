"""What is known of an upstream, and what is measured of it."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from common.http.status import ReadQuota, UpstreamStatus, no_quota
from common.observability.metrics import BUCKETS, quantile
from common.resilience.breaker import BreakerLimits
from common.resilience.retry import RetryLimits

Pause = Callable[[Mapping[str, str]], float]
"""Seconds to hold back further requests, as the server's own headers about its limits say; 0 if there is no need."""


def no_pause(headers: Mapping[str, str]) -> float:
    """For upstreams that say nothing about their limits but in a 429."""
    return 0.0


@dataclass(frozen=True)
class Upstream:
    """An HTTP API and how it may be used. Times in seconds."""

    name: str
    url: str
    deadline: float = 10.0
    """For one call with all its tries."""
    attempt: float = 5.0
    """For one try: a stalled connection must leave time for another."""
    connections: int = 20
    rate: float = 50.0
    """Requests a second that this process sends at most, and the burst it may begin with."""
    burst: int = 50
    max_bytes: int = 8 * 1024 * 1024
    """Of an answer, unpacked."""
    allow_private: bool = False
    """Whether the name may resolve to an address of the own network. Implied when the URL itself names such a one."""
    ca_file: Path | None = None
    """PEM of authorities that its certificate may be signed by, besides the system's."""
    pause: Pause = no_pause
    quota: ReadQuota = no_quota
    retries: RetryLimits = field(default_factory=RetryLimits)
    breaker: BreakerLimits = field(default_factory=BreakerLimits)


class Times:
    """How long tries took, in the metric's buckets. Prometheus' own histogram takes six times as long for each."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    @property
    def cumulative(self) -> list[tuple[float, float]]:
        """Each bound, and how many took at most so long."""
        return list(zip((*BUCKETS, inf), accumulate(self._counts), strict=True))


@dataclass(frozen=True)
class Meter:
    """The metrics of one upstream."""

    ok: Times
    failed: Times
    retries: Counter
    open: Gauge

    def spread(self) -> tuple[int, int, float, float]:
        """Tries, how many of them failed, and their p50 and p95 in seconds."""
        ok, failed = self.ok.cumulative, self.failed.cumulative
        both = [(bound, good + bad) for (bound, good), (_, bad) in zip(ok, failed, strict=True)]
        tries = int(both[-1][1])
        p50, p95 = (quantile(both, q) if tries else 0.0 for q in (0.5, 0.95))
        return tries, int(failed[-1][1]), p50, p95


class UpstreamMetrics(Collector):
    """Requests to upstreams, for /metrics; shared by all clients of a server."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        registry.register(self)
        self._retries = Counter("triptych_upstream_retries", "Tries after the first", ["upstream"], registry=registry)
        self._open = Gauge("triptych_upstream_breaker_open", "1 while nothing is sent", ["upstream"], registry=registry)
        self._times: defaultdict[tuple[str, str], Times] = defaultdict(Times)
        self._statuses: list[Callable[[], UpstreamStatus]] = []

    def of(self, name: str) -> Meter:
        """The metrics of the upstream of that name."""
        ok, failed = self._times[name, "ok"], self._times[name, "failed"]
        return Meter(ok, failed, self._retries.labels(name), self._open.labels(name))

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """For the registry: the names that are taken."""
        about = "Time of one try by upstream and outcome"
        yield HistogramMetricFamily("triptych_upstream_seconds", about, labels=["upstream", "outcome"])

    def collect(self) -> Iterable[Metric]:
        """For the registry: what was counted."""
        [family] = self.describe()
        for labels, times in self._times.items():
            bounds = [(_bound(bound), count) for bound, count in times.cumulative]
            family.add_metric(labels, bounds, times.total)
        yield family

    def watch(self, status: Callable[[], UpstreamStatus]) -> None:
        """A client says here how it does."""
        self._statuses.append(status)

    def statuses(self) -> Iterable[UpstreamStatus]:
        """All clients of the server."""
        return [status() for status in self._statuses]


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == inf else str(seconds)
