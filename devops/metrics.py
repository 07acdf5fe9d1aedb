"""What pods use now, beside what they ask for; and over time, where there is a Prometheus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from common.errors import InvalidInput
from common.security.principal import Principal
from devops.access import Clusters
from devops.details import Details
from devops.kinds import POD
from devops.ports import Cluster, Manifest, Query, Usage
from devops.quantities import parse_quantity

Metric = Literal["cpu", "memory", "restarts", "network_received", "errors"]
MAX_PODS = 200
POINTS = 60


@dataclass(frozen=True)
class PodUse:
    """Use, requests and limits of one pod; 0 where nothing is asked for."""

    pod: str
    usage: Usage | None
    requested: Mapping[str, float]
    limited: Mapping[str, float]


@dataclass(frozen=True)
class Series:
    """Values of one pod over time: (seconds since 1970, value)."""

    pod: str
    points: Sequence[tuple[float, float]]


class History(Protocol):
    """Values over time. Raises Unavailable."""

    async def series(self, metric: Metric, namespace: str, pods: Sequence[str], minutes: int) -> Sequence[Series]: ...


class Metrics:
    """Use of the pods of a namespace or of one workload."""

    def __init__(self, clusters: Clusters, details: Details, history: History | None) -> None:
        self._clusters = clusters
        self._details = details
        self._history = history

    @property
    def has_history(self) -> bool:
        """Whether anybody can go back in time."""
        return self._history is not None

    async def _pods(
        self, principal: Principal, cluster_name: str | None, namespace: str, workload: str | None
    ) -> tuple[Cluster, Sequence[Manifest], Query]:
        labels: Mapping[str, str] = {}
        if workload is not None:
            labels = (await self._details.find(principal, cluster_name, namespace, workload, None)).labels
        cluster = self._clusters.named(cluster_name)
        query = await self._clusters.query(cluster, principal, namespace, labels, limit=MAX_PODS)
        return cluster, (await cluster.objects(POD, query)).items, query

    async def now(
        self, principal: Principal, cluster_name: str | None, namespace: str, workload: str | None
    ) -> tuple[Cluster, list[PodUse]]:
        """At most `MAX_PODS` pods, the one that uses most memory first. Raises Unavailable without metrics."""
        cluster, pods, query = await self._pods(principal, cluster_name, namespace, workload)
        usage = {one.name: one for one in await cluster.pod_usage(query)}
        found = [
            PodUse(
                pod["metadata"]["name"],
                usage.get(pod["metadata"]["name"]),
                _sum(pod, "requests"),
                _sum(pod, "limits"),
            )
            for pod in pods
        ]
        return cluster, sorted(found, key=lambda one: -(one.usage.memory if one.usage else 0))

    async def over_time(
        self,
        principal: Principal,
        cluster_name: str | None,
        namespace: str,
        workload: str,
        metric: Metric,
        minutes: int,
    ) -> tuple[Cluster, Sequence[Series]]:
        """Of the pods that the workload has now."""
        if self._history is None:
            raise InvalidInput("There is no history here: DEVOPS_PROMETHEUS_URL is not set.", "Ask without `minutes`.")
        cluster, pods, _ = await self._pods(principal, cluster_name, namespace, workload)
        names = [pod["metadata"]["name"] for pod in pods]
        return cluster, await self._history.series(metric, namespace, names, minutes) if names else []


def _sum(pod: Manifest, which: str) -> dict[str, float]:
    containers = [(container.get("resources") or {}).get(which) or {} for container in pod["spec"]["containers"]]
    return {name: sum(parse_quantity(one.get(name, 0)) for one in containers) for name in ("cpu", "memory")}
