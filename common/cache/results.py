"""How often nothing had to be loaded."""

from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter

Result = Literal["memory", "redis", "stale", "loaded", "overtaken"]


class CacheResults:
    """Lookups by kind of data and result, for /metrics and the console."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        about = "Lookups by kind and result; `overtaken`: loaded, but invalidated meanwhile"
        self._counter = Counter("triptych_cache", about, ["kind", "result"], registry=registry or CollectorRegistry())
        self._children: dict[tuple[str, Result], Any] = {}
        self._counts: dict[tuple[str, Result], int] = {}

    def count(self, kind: str, result: Result) -> None:
        """Count one."""
        key = kind, result
        if key not in self._children:
            self._children[key] = self._counter.labels(kind, result)
            self._counts[key] = 0
        self._children[key].inc()
        self._counts[key] += 1

    def hit_rates(self) -> dict[str, float]:
        """By kind, the share of lookups that did not have to wait for a load."""
        rates = {}
        for kind in sorted({kind for kind, _ in self._counts}):
            hits = sum(self._counts.get((kind, result), 0) for result in ("memory", "redis", "stale"))
            rates[kind] = hits / (hits + self._counts.get((kind, "loaded"), 0) or 1)
        return rates

    def totals(self) -> dict[Result, int]:
        """Lookups by result, of all kinds."""
        found: dict[Result, int] = {}
        for (_, result), count in self._counts.items():
            found[result] = found.get(result, 0) + count
        return found
