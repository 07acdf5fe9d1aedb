"""Collects everything about a workload in one go, and is content with what it gets."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

from common.errors import AppError
from common.security.principal import Principal
from devops.alerts import Alerts
from devops.details import Details, Workload
from devops.diagnosis.facts import Facts
from devops.events import Event, event_of
from devops.kinds import EVENT, NODE, POD, QUOTA
from devops.logs import Line, Logs
from devops.pods import container_statuses, is_ready
from devops.ports import Cluster, LogQuery, Manifest, Query

T = TypeVar("T")
MAX_PODS = 100
MAX_FAILING = 3
MAX_EVENTS = 500
LOG_LINES = 30
MAX_NODES = 20


class Gatherer:
    """Reads what a diagnosis needs. Only the workload itself must be readable; what else is not, is named."""

    def __init__(self, details: Details, logs: Logs, alerts: Alerts) -> None:
        self._details = details
        self._logs = logs
        self._alerts = alerts

    async def facts(
        self, principal: Principal, cluster_name: str | None, namespace: str, name: str, kind: str | None
    ) -> Facts:
        """Raises NotFound for a workload that is not there."""
        workload = await self._details.workload(principal, cluster_name, namespace, name, kind)
        cluster, missing = workload.cluster, list[str]()
        pods, events, quotas = await asyncio.gather(
            _or(missing, "pods", _objects(cluster.objects(POD, Query(namespace, workload.labels, limit=MAX_PODS)))),
            _or(missing, "events", _objects(cluster.objects(EVENT, Query(namespace, limit=MAX_EVENTS)))),
            _or(missing, "quotas", _objects(cluster.objects(QUOTA, Query(namespace)))),
        )
        logs, nodes, alerts = await asyncio.gather(
            self._last_lines(cluster, namespace, pods, missing),
            _nodes(cluster, pods, missing),
            _or(missing, "alerts", self._alerts.about(principal, workload, pods)),
        )
        return Facts(workload, pods, _about(workload, pods, events), logs, quotas, nodes, alerts, missing)

    async def _last_lines(
        self, cluster: Cluster, namespace: str, pods: Sequence[Manifest], missing: list[str]
    ) -> Mapping[str, Sequence[Line]]:
        failing = [pod for pod in pods if not is_ready(pod)][:MAX_FAILING]
        queries = [
            LogQuery(namespace, pod["metadata"]["name"], status["name"], LOG_LINES, 0, previous=previous)
            for pod in failing
            for status in container_statuses(pod)
            if not status.get("ready")
            for previous in ((False, True) if status.get("restartCount") else (False,))
        ]
        read = await _or(missing, "logs", _lines(self._logs, cluster, queries))
        by_source: dict[str, list[Line]] = {}
        for line in read:
            by_source.setdefault(line.source, []).append(line)
        return by_source


async def _lines(logs: Logs, cluster: Cluster, queries: Sequence[LogQuery]) -> Sequence[Line]:
    return (await logs.lines(cluster, queries))[0] if queries else []


async def _objects(asked: Awaitable[object]) -> Sequence[Manifest]:
    page = await asked
    items: Sequence[Manifest] = page.items  # type: ignore[attr-defined]
    return items


async def _or(missing: list[str], what: str, asked: Awaitable[Sequence[T]]) -> Sequence[T]:
    """The answer, or nothing and a note that it is missing."""
    try:
        return await asked
    except AppError as error:
        missing.append(f"{what}: {error.message}")
        return []


async def _nodes(cluster: Cluster, pods: Sequence[Manifest], missing: list[str]) -> Mapping[str, Manifest]:
    names = sorted({pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")})[:MAX_NODES]

    async def one(name: str) -> Sequence[Manifest]:
        return [await cluster.get(NODE, None, name)]

    found = await asyncio.gather(*(_or(missing, f"node {name}", one(name)) for name in names))
    return {item["metadata"]["name"]: item for items in found for item in items}


def _about(workload: Workload, pods: Sequence[Manifest], events: Sequence[Manifest]) -> list[Event]:
    """Events of the workload, its ReplicaSets and its pods, newest first."""
    uids = {item["metadata"]["uid"] for item in (workload.item, *workload.replica_sets, *pods)}
    own = [event_of(item) for item in events if item["involvedObject"].get("uid") in uids]
    return sorted(own, key=lambda event: (event.time, event.id), reverse=True)
