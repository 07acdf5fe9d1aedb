"""A circuit breaker: an upstream that fails or drags is left alone for a while, then tried with a few calls."""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from common.errors import Unavailable

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True)
class BreakerLimits:
    """When the breaker opens, and how it closes again. Times in seconds."""

    window: int = 40
    """How many of the last calls count."""
    least_calls: int = 10
    """Fewer calls than this say nothing."""
    bad_share: float = 0.5
    """Share of failed or slow calls that opens it."""
    slow_after: float = 5.0
    open_for: float = 5.0
    """The first time; twice as long each time that the trial fails, up to `open_at_most`."""
    open_at_most: float = 60.0
    trials: int = 3
    """Calls that a half-open breaker lets through at once; all of them have to be good."""


class Breaker:
    """Ask `admit` before a call and tell `record` after it. Belongs to one event loop."""

    def __init__(
        self, name: str, limits: BreakerLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._limits = limits or BreakerLimits()
        self._clock = clock
        self._bad: deque[bool] = deque(maxlen=self._limits.window)
        self._opened = 0
        """How often in a row; 0 while it is closed."""
        self._until = 0.0
        self._on_trial = 0
        self._passed = 0

    @property
    def state(self) -> State:
        if not self._opened:
            return "closed"
        return "open" if self._clock() < self._until else "half-open"

    @property
    def wait(self) -> float:
        """Seconds until an open breaker lets a trial through."""
        return max(0.0, self._until - self._clock()) if self._opened else 0.0

    def admit(self) -> int:
        """A ticket for one call, to be given to `record` or `forget`. Raises Unavailable with the time to wait."""
        if not self._opened:
            return 0
        wait = self._until - self._clock()
        if wait > 0 or self._on_trial + self._passed >= self._limits.trials:
            raise Unavailable(f"{self.name} does not answer at the moment.", retry_after=max(wait, 0.1))
        self._on_trial += 1
        return self._opened

    def record(self, ticket: int, failed: bool, seconds: float) -> bool:
        """Say how the call went; true if it opened or closed by that.

        Calls that began before the last change count no more.
        """
        if ticket != self._opened:
            return False
        bad = failed or seconds > self._limits.slow_after
        if ticket:
            self._judge_trial(bad)
        else:
            self._bad.append(bad)
            if bad and len(self._bad) >= self._limits.least_calls:
                if sum(self._bad) >= self._limits.bad_share * len(self._bad):
                    self._open()
        return ticket != self._opened

    def forget(self, ticket: int) -> None:
        """The call was given up by its caller, which says nothing about the upstream."""
        if ticket and ticket == self._opened:
            self._on_trial -= 1

    def _judge_trial(self, bad: bool) -> None:
        if bad:
            return self._open()
        self._on_trial -= 1
        self._passed += 1
        if self._passed >= self._limits.trials:
            self._opened = 0
            self._bad.clear()

    def _open(self) -> None:
        # After days without an answer a power of the count would be more than a float holds.
        longest = min(self._limits.open_for * 2 ** min(self._opened, 20), self._limits.open_at_most)
        # Replicas that saw the same outage must not come back at the same moment.
        self._until = self._clock() + longest * random.uniform(0.8, 1.0)  # noqa: S311 - jitter
        self._opened += 1
        self._on_trial = self._passed = 0
