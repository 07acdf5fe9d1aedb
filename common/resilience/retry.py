"""When to try again: backoff with full jitter, what the server asked for, and a budget for all calls together."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class RetryLimits:
    """Times in seconds."""

    tries: int = 3
    first_wait: float = 0.1
    longest_wait: float = 5.0
    budget_share: float = 0.5
    """Retries for each first try, over all calls: while an upstream is down, retries must not multiply the load."""
    budget_reserve: float = 100.0
    """Retries that are there from the start, and the most that are saved up."""


class RetryBudget:
    """Each call earns a share of a retry; a retry spends a whole one."""

    def __init__(self, limits: RetryLimits) -> None:
        self._limits = limits
        self._left = limits.budget_reserve
        self._most = max(limits.budget_reserve, 1.0)

    def earn(self) -> None:
        """Count a first try."""
        if self._left < self._most:
            self._left = min(self._left + self._limits.budget_share, self._most)

    def spend(self) -> bool:
        """Whether there is one left, which is then gone."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def backoff(attempt: int, limits: RetryLimits) -> float:
    """Seconds to wait after try number `attempt`, counted from 1: uniform between 0 and a bound that doubles.

    "Full jitter" of Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """
    return random.uniform(0, min(limits.longest_wait, limits.first_wait * 2 ** min(attempt - 1, 20)))  # noqa: S311 - jitter


def retry_after(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number or a date; None if there is none to be read."""
    if not value:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - now()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
