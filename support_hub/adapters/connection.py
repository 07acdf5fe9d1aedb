"""How platforms are connected to, as far as they are alike."""

from common.http.status import ReadQuota, no_quota
from common.http.upstream import Pause, Upstream
from common.resilience.breaker import BreakerLimits
from common.resilience.retry import RetryLimits

ATTEMPT_SHARE = 0.6
"""Of the time for a source: a try that stalls leaves time for another."""
BREAKER = BreakerLimits(least_calls=5, open_for=5.0)
CONNECTIONS = 20


def upstream(
    name: str,
    url: str,
    seconds: float,
    rate: float,
    pause: Pause,
    quota: ReadQuota = no_quota,
    retries: RetryLimits | None = None,
) -> Upstream:
    """A platform that has `seconds` for a call."""
    return Upstream(
        name=name,
        url=url,
        deadline=seconds,
        attempt=seconds * ATTEMPT_SHARE,
        connections=CONNECTIONS,
        rate=rate,
        burst=max(1, int(rate * 2)),
        pause=pause,
        quota=quota,
        retries=retries or RetryLimits(),
        breaker=BREAKER,
    )


def as_seconds(value: str | None) -> float:
    """A header's number, or 0."""
    try:
        return max(0.0, float(value or 0))
    except ValueError:
        return 0.0
