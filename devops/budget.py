"""The error budget: the share of the objective's allowed errors that is left, by namespace.

With an objective of 99.9 % one request of a thousand may fail. If 0.4 of a thousand failed within the window, 60 % of
the budget is left; if two did, it is overspent by 100 %. The burn rate says how fast it goes now: at 1 it lasts exactly
for the window. Both as in "Alerting on SLOs" of Google's SRE Workbook.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from common.security.principal import Principal
from devops.access import Clusters
from devops.ports import Cluster

HOUR, DAY = 3600, 86_400
MOST_NAMESPACES = 100
KEEP_SECONDS = 60.0
"""Counting over days is work for Prometheus, and changes slowly."""
MAX_KEPT = 200
Counted: TypeAlias = tuple[float, float]
"""Requests, and those of them that failed."""


@dataclass(frozen=True)
class Objective:
    """What share of requests must succeed, over how many days."""

    share: float = 0.999
    days: int = 30

    @property
    def allowed(self) -> float:
        """The share that may fail."""
        return 1 - self.share


@dataclass(frozen=True)
class Budget:
    """Of a namespace, over the objective's window and over the last hour."""

    namespace: str
    requests: float
    failed: float
    left: float
    """1: nothing was spent; 0: all of it; below: more than that."""
    burn: float | None
    """None: no request in the last hour."""


class Requests(Protocol):
    """Counts requests. Raises Unavailable."""

    async def counted(self, namespaces: Sequence[str], seconds: int) -> Mapping[str, Counted]:
        """By namespace, over the last seconds; without requests a namespace is not there."""
        ...


class Budgets:
    """Error budgets of the namespaces that a caller sees."""

    def __init__(self, clusters: Clusters, requests: Requests | None, objective: Objective) -> None:
        self._clusters = clusters
        self._requests = requests
        self.objective = objective
        self._kept: dict[tuple[str, ...], tuple[float, Sequence[Budget]]] = {}

    @property
    def are_known(self) -> bool:
        """Whether anything counts requests here."""
        return self._requests is not None

    async def of_cluster(self, who: Principal, cluster: Cluster) -> Sequence[Budget]:
        """The one with least left first. At most a minute old. Raises Unavailable."""
        if self._requests is None:
            return []
        namespaces = (await self._clusters.visible(cluster, who))[:MOST_NAMESPACES]
        key = (cluster.name, *namespaces)
        until, kept = self._kept.get(key, (0.0, ()))
        if time.monotonic() < until:
            return kept
        found = await self._counted(self._requests, namespaces)
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = (time.monotonic() + KEEP_SECONDS, found)
        return found

    async def _counted(self, requests: Requests, namespaces: Sequence[str]) -> Sequence[Budget]:
        if not namespaces:
            return []
        window = await requests.counted(namespaces, self.objective.days * DAY)
        lately = await requests.counted(namespaces, HOUR)
        found = [
            budget(name, counted, lately.get(name), self.objective)
            for name, counted in window.items()
            if name in namespaces and counted[0] > 0
        ]
        return sorted(found, key=lambda each: (each.left, each.namespace))


def budget(namespace: str, window: Counted, lately: Counted | None, objective: Objective) -> Budget:
    """What is left of it, and how fast it goes."""
    requests, failed = window
    spent = failed / requests / objective.allowed
    burn = lately[1] / lately[0] / objective.allowed if lately and lately[0] > 0 else None
    return Budget(namespace, requests, failed, 1 - spent, burn)
