"""What became of each source when customers were looked up, for people who look after the hub."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support_hub.fanout import Arrived, State

KEPT = 200
"""Last reads of a source that count for its quantiles."""


@dataclass
class Seen:
    """One source since the start of this process. Times in seconds, moments since 1970."""

    states: Counter[State] = field(default_factory=Counter)
    last: State | None = None
    last_at: float = 0.0
    trouble: str = ""
    trouble_at: float = 0.0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Of reads; an answer out of the cache says nothing about the source."""

    def quantile(self, q: float) -> float | None:
        """None without reads."""
        return sorted(self.times)[min(len(self.times) - 1, int(q * len(self.times)))] if self.times else None


class SourceHealth:
    """All sources of this process."""

    def __init__(self, names: Iterable[str]) -> None:
        self.seen = {name: Seen() for name in names}

    def note(self, found: Mapping[str, Arrived[Any]], started: float) -> None:
        """What came of one look-up that began at `started`."""
        for name, arrived in found.items():
            seen = self.seen[name]
            seen.states[arrived.state] += 1
            seen.last, seen.last_at = arrived.state, started + arrived.seconds
            if arrived.state in ("timeout", "error", "forbidden"):
                seen.trouble, seen.trouble_at = arrived.note, seen.last_at
            elif arrived.fetched_at is not None and arrived.fetched_at >= started:
                seen.times.append(arrived.seconds)
