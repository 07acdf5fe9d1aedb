"""Quantiles of the overview."""

import pytest

from common.observability.metrics import Metrics, quantile


def test_a_quantile_lies_within_its_bucket() -> None:
    buckets = [(0.01, 50.0), (0.1, 90.0), (1.0, 100.0), (float("inf"), 100.0)]
    assert quantile(buckets, 0.5) == pytest.approx(0.01)
    assert quantile(buckets, 0.7) == pytest.approx(0.055)
    assert quantile(buckets, 0.99) == pytest.approx(0.91)


def test_what_is_slower_than_the_last_bucket_is_given_as_its_bound() -> None:
    assert quantile([(1.0, 1.0), (float("inf"), 10.0)], 0.99) == 1.0


def test_latencies_join_outcomes_and_count_failures() -> None:
    metrics = Metrics("small")
    for outcome in ("ok", "ok", "input_required", "denied"):
        metrics.observe("tool", "search", outcome, 0.02)
    [row] = metrics.latencies()
    assert (row.action, row.calls, row.failed, row.error_rate) == ("search", 4, 1, 0.25)
    assert 10 <= row.p50 <= 25
