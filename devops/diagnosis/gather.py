"""Collects everything about a workload in one go, and is content with what it gets."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from common.errors import AppError
from common.security.principal import Principal
from devops.alerts import Alerts
from devops.details import Details
from devops.diagnosis.facts import Facts
from devops.events import Event, event_of
from devops.kinds import EVENT, NODE, POD, QUOTA, Kind
from devops.logs import Line, Logs
from devops.paging import pages_of
from devops.pods import container_statuses, is_owned, is_ready
from devops.ports import Cluster, LogQuery, Manifest, Query

T = TypeVar("T")
POD_PAGE, POD_PAGES = 100, 5
EVENT_PAGE, EVENT_PAGES = 500, 20
"""Objects that are looked at; of what is beyond them `missing` tells."""
MAX_FAILING = 3
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
        owners = {item["metadata"]["uid"] for item in (workload.item, *workload.replica_sets)}
        own = Query(namespace, workload.labels, limit=POD_PAGE)
        pods, quotas = await asyncio.gather(
            _all(missing, "pods", cluster, POD, own, POD_PAGES, lambda pod: is_owned(pod, owners)),
            _all(missing, "quotas", cluster, QUOTA, Query(namespace)),
        )
        uids = owners | {pod["metadata"]["uid"] for pod in pods}
        events, logs, nodes, alerts = await asyncio.gather(
            _events(missing, cluster, namespace, uids),
            self._last_lines(cluster, namespace, pods, missing),
            _nodes(cluster, pods, missing),
            _or(missing, "alerts", self._alerts.about(principal, workload, pods)),
        )
        return Facts(workload, pods, events, logs, quotas, nodes, alerts, missing)

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


async def _all(
    missing: list[str],
    what: str,
    cluster: Cluster,
    kind: Kind,
    query: Query,
    pages: int = 1,
    wanted: Callable[[Manifest], bool] = lambda item: True,
) -> Sequence[Manifest]:
    """What is wanted of the first pages, and a note if there are more or if they could not be read."""

    async def read() -> Sequence[Manifest]:
        found: list[Manifest] = []
        complete: bool | None = None
        try:
            async for items, complete in pages_of(cluster, kind, query, pages):  # noqa: B007 - the last value counts
                found += filter(wanted, items)
        except AppError as error:
            if complete is None:
                raise
            missing.append(f"{what}: only the first were read. {error.message}")
            return found
        if not complete:
            missing.append(f"{what}: there are more than the first {pages * query.limit}")
        return found

    return await _or(missing, what, read())


async def _events(missing: list[str], cluster: Cluster, namespace: str, uids: Collection[str]) -> list[Event]:
    """About these objects, newest first. The API keeps events in the order of their names, so all are looked at."""
    query = Query(namespace, limit=EVENT_PAGE)
    own = await _all(
        missing, "events", cluster, EVENT, query, EVENT_PAGES, lambda item: item["involvedObject"].get("uid") in uids
    )
    return sorted(map(event_of, own), key=lambda event: (event.time, event.id), reverse=True)


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
