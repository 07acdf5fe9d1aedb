"""Where the quantiles of a call lie on a logarithmic scale, for a drawing that the server makes itself."""

from dataclasses import dataclass
from math import log10

from common.observability.metrics import Latency

WIDTH = 280
LOWEST, HIGHEST = 1.0, 60_000.0
TICKS = {1: "1 ms", 10: "10", 100: "100", 1000: "1 s", 10_000: "10 s"}


def position(milliseconds: float) -> float:
    """Distance from the left edge; what is off the scale lies at its end."""
    inside = min(max(milliseconds, LOWEST), HIGHEST)
    return round(WIDTH * log10(inside / LOWEST) / log10(HIGHEST / LOWEST), 1)


@dataclass(frozen=True)
class Row:
    """One line of the table of calls."""

    latency: Latency

    @property
    def x50(self) -> float:
        return position(self.latency.p50)

    @property
    def x95(self) -> float:
        return position(self.latency.p95)

    @property
    def to95(self) -> float:
        """Length of the bar from p50 to p95."""
        return round(self.x95 - self.x50, 1)

    @property
    def to99(self) -> float:
        """Length of the bar from p95 to p99."""
        return round(position(self.latency.p99) - self.x95, 1)

    @property
    def tone(self) -> str:
        """How much the errors should worry a reader."""
        rate = self.latency.error_rate
        return "bad" if rate >= 0.05 else "warn" if rate else "quiet"
