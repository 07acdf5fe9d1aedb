"""How an upstream does at the moment, for people who look after a server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.resilience.breaker import State


@dataclass(frozen=True)
class Quota:
    """What remains of a limit."""

    left: float
    limit: float
    per: str
    """`minute`, `day` and so on."""

    @property
    def share(self) -> float:
        """0 to 1."""
        return max(0.0, min(1.0, self.left / self.limit)) if self.limit else 0.0


ReadQuota = Callable[[Mapping[str, str]], Quota | None]
"""What the server's own headers say of its limit."""


def no_quota(headers: Mapping[str, str]) -> Quota | None:
    """For upstreams that say nothing."""
    return None


def quota(left: str | None, limit: str | None, per: str) -> Quota | None:
    """Of two headers; None if they are not there, or no numbers."""
    try:
        return Quota(float(left or ""), float(limit or ""), per)
    except ValueError:
        return None


@dataclass(frozen=True)
class Trouble:
    """The last request that failed."""

    at: float
    """Seconds since 1970."""
    text: str


@dataclass(frozen=True)
class UpstreamStatus:
    """One upstream as this process sees it, since its start. Times in seconds."""

    name: str
    breaker: State
    opens_in: float
    """Until an open breaker lets a trial through."""
    held_back: float
    """Until the server's own limit allows another request."""
    tries: int
    failed: int
    p50: float
    p95: float
    trouble: Trouble | None
    own: Quota
    """Of the rate that this process keeps to."""
    told: Quota | None
    """Of the server's limit, as its last answer said."""
