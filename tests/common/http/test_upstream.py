"""What is counted of an upstream reads as Prometheus' own histogram would have it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from common.http.upstream import UpstreamMetrics
from common.observability.metrics import BUCKETS

SECONDS = st.floats(0, 120) | st.sampled_from(BUCKETS)


@given(st.lists(SECONDS, max_size=30), st.lists(SECONDS, max_size=30))
def test_the_exposition_is_that_of_a_histogram(good: list[float], bad: list[float]) -> None:
    registry, plain = CollectorRegistry(), CollectorRegistry()
    name, about = "triptych_upstream_seconds", "Time of one try by upstream and outcome"
    expected = Histogram(name, about, ["upstream", "outcome"], buckets=BUCKETS, registry=plain)
    meter = UpstreamMetrics(registry).of("crm")
    for outcome, times, seconds in (("ok", meter.ok, good), ("failed", meter.failed, bad)):
        child = expected.labels("crm", outcome)
        for each in seconds:
            times.observe(each)
            child.observe(each)
    assert lines(registry, name) == lines(plain, name)
    tries, failed, p50, p95 = meter.spread()
    assert (tries, failed) == (len(good) + len(bad), len(bad)) and 0 <= p50 <= p95


def lines(registry: CollectorRegistry, name: str) -> list[str]:
    """All samples but the moment at which a series began."""
    shown = generate_latest(registry).decode().splitlines()
    return [line for line in shown if name in line and "_created" not in line]


def test_clients_of_one_upstream_share_what_is_counted() -> None:
    metrics = UpstreamMetrics()
    metrics.of("crm").ok.observe(0.2)
    assert metrics.of("crm").spread()[0] == 1 and metrics.of("other").spread() == (0, 0, 0.0, 0.0)


def test_a_time_at_a_bound_is_within_it() -> None:
    meter = UpstreamMetrics().of("crm")
    meter.ok.observe(BUCKETS[3])
    assert dict(meter.ok.cumulative)[BUCKETS[3]] == 1 and dict(meter.ok.cumulative)[BUCKETS[2]] == 0
    assert meter.ok.total == pytest.approx(BUCKETS[3])
