"""Request limits over a window, as the platforms count them."""

import time
from collections import deque


class Window:
    """At most `limit` requests in any `seconds`; refused ones do not count."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        self._taken: deque[float] = deque()

    def take(self) -> bool:
        """Count a request; False if it is over the limit."""
        now = time.monotonic()
        while self._taken and self._taken[0] <= now - self.seconds:
            self._taken.popleft()
        if len(self._taken) >= self.limit:
            return False
        self._taken.append(now)
        return True

    @property
    def remaining(self) -> int:
        """How many more are let through right now."""
        return max(0, self.limit - len(self._taken))

    @property
    def reset_after(self) -> float:
        """Seconds until the oldest request leaves the window."""
        return max(0.0, self._taken[0] + self.seconds - time.monotonic()) if self._taken else 0.0
