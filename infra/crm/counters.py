"""What arrived, so that tests can check limits and retries."""

import re
import time
from collections import Counter, deque
from typing import Any

_IDS = re.compile(r"/(?=[^/]*\d)(?!v\d)[\w.@%+!-]{4,}(?=/|\Z)|/\d+(?=/|\Z)")


class Counters:
    """Counts requests; ids in paths become `{id}`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self._paths: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._recent: deque[float] = deque()
        self._peak = self._under_way = self._most = 0

    def begin(self, method: str, path: str) -> None:
        """A request has arrived."""
        self._paths[f"{method} {_IDS.sub('/{id}', path)}"] += 1
        now = time.monotonic()
        self._recent.append(now)
        while self._recent[0] <= now - 1:
            self._recent.popleft()
        self._peak = max(self._peak, len(self._recent))
        self._under_way += 1
        self._most = max(self._most, self._under_way)

    def fault(self, kind: str) -> None:
        """A fault struck it."""
        self._faults[kind] += 1

    def end(self, status: int) -> None:
        """It was answered; 0 if the connection was cut."""
        self._statuses[str(status)] += 1
        self._under_way -= 1

    def report(self) -> dict[str, Any]:
        """The counts since the last reset."""
        return {
            "requests": sum(self._paths.values()),
            "by_path": dict(self._paths),
            "by_status": dict(self._statuses),
            "faults": dict(self._faults),
            "peak_per_second": self._peak,
            "most_at_once": self._most,
        }
