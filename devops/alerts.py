"""Active alerts, the workloads that they are about, and what was changed there shortly before."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from common.errors import NotFound
from common.security.principal import Principal
from devops.access import Clusters
from devops.details import Details, Workload, controller_of
from devops.kinds import REPLICA_SET
from devops.ports import Cluster, Manifest, Query
from devops.revisions import revisions_of

NAMESPACE_LABELS = ("exported_namespace", "kubernetes_namespace", "namespace")
POD_LABELS = ("exported_pod", "pod")
"""`exported_` comes first: without it, these labels are those of what exports the metrics."""
WORKLOAD_LABELS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
OWN_SECONDS, OTHERS_SECONDS = 24 * 3600.0, 3600.0
"""How long before an alert a change counts: of the workload itself, and of others of the namespace."""
LATE_SECONDS = 60.0
"""Clocks differ, and rules are evaluated once a minute."""
SAME_SECONDS = 30.0
MAX_REPLICA_SETS = 500
MAX_ALERTS, MAX_CHANGES = 5, 4


@dataclass(frozen=True)
class Alert:
    """A rule that holds now. Labels and summary are untrusted text; `since` is in seconds since 1970."""

    name: str
    state: str
    since: float
    severity: str
    summary: str
    labels: Mapping[str, str]


class AlertSource(Protocol):
    """Where alerts come from. Raises Unavailable."""

    async def active(self) -> Sequence[Alert]: ...


@dataclass(frozen=True)
class RecentChange:
    """What was changed, and how many seconds before the alert."""

    at: float
    kind: str
    workload: str
    what: str
    source: str
    by: str = ""
    before: float = 0.0


class Changed(Protocol):
    """Changes that were made through this server, as far as the caller may know them."""

    async def lately(self, who: Principal, cluster: str, namespace: str) -> Sequence[RecentChange]: ...


@dataclass(frozen=True)
class Subject:
    """What an alert names: a workload, or a pod."""

    namespace: str
    kind: str = ""
    workload: str = ""
    pod: str = ""

    @property
    def matched(self) -> str:
        """In words."""
        return f"{self.kind.lower()}={self.workload}" if self.workload else f"pod={self.pod}"


@dataclass(frozen=True)
class Correlated:
    """An alert, what it is about, and the changes that fit best, those first."""

    alert: Alert
    subject: Subject
    kind: str
    workload: str
    changes: Sequence[RecentChange]


def subject_of(alert: Alert, cluster: str) -> Subject | None:
    """None if its labels name neither workload nor pod, or another cluster."""
    labels = alert.labels
    namespace = next((labels[name] for name in NAMESPACE_LABELS if labels.get(name)), "")
    if not namespace or labels.get("cluster", cluster) != cluster:
        return None
    for name, kind in WORKLOAD_LABELS.items():
        if labels.get(name):
            return Subject(namespace, kind, labels[name])
    kind = WORKLOAD_LABELS.get(labels.get("workload_type", "").lower(), "")
    if kind and labels.get("workload"):
        return Subject(namespace, kind, labels["workload"])
    pod = next((labels[name] for name in POD_LABELS if labels.get(name)), "")
    return Subject(namespace, pod=pod) if pod else None


class Alerts:
    """Reads them for a caller, who learns of nothing in a namespace that they do not see."""

    def __init__(self, clusters: Clusters, details: Details, source: AlertSource | None) -> None:
        self._clusters = clusters
        self._details = details
        self._source = source
        self.changed: Changed | None = None
        """Set where this server can change anything."""

    @property
    def are_known(self) -> bool:
        """Whether there is anything to ask."""
        return self._source is not None

    async def about(self, who: Principal, workload: Workload, pods: Sequence[Manifest]) -> list[Correlated]:
        """Of one workload that the caller sees. Raises Unavailable."""
        names = {pod["metadata"]["name"] for pod in pods}
        found = [
            (alert, subject)
            for alert, subject in await self._subjects(workload.cluster.name)
            if subject.namespace == workload.namespace and _is_about(subject, workload, names)
        ][:MAX_ALERTS]
        history = await self._history(who, workload.cluster, workload.namespace) if found else []
        kind, name = workload.kind.name, workload.name
        return [Correlated(alert, subject, kind, name, nearest(history, alert, kind, name)) for alert, subject in found]

    async def of_cluster(self, who: Principal, cluster: Cluster, most: int) -> tuple[list[Correlated], int]:
        """Of all that the caller sees, the gravest first, and how many there are. Raises Unavailable."""
        seen = [
            (alert, subject)
            for alert, subject in await self._subjects(cluster.name)
            if self._clusters.sees(who, cluster, subject.namespace)
        ]
        histories = {
            namespace: await self._history(who, cluster, namespace)
            for namespace in {subject.namespace for _, subject in seen[:most]}
        }
        found = []
        for alert, subject in seen[:most]:
            kind, name = await self._owner(who, cluster, subject)
            changes = nearest(histories[subject.namespace], alert, kind, name)
            found.append(Correlated(alert, subject, kind, name, changes))
        return found, len(seen)

    async def _subjects(self, cluster: str) -> list[tuple[Alert, Subject]]:
        active = await self._source.active() if self._source else []
        found = [(alert, subject_of(alert, cluster)) for alert in sorted(active, key=_gravest)]
        return [(alert, subject) for alert, subject in found if subject is not None]

    async def _owner(self, who: Principal, cluster: Cluster, subject: Subject) -> tuple[str, str]:
        """Kind and name of the workload; both empty if the pod is gone."""
        if subject.workload:
            return subject.kind, subject.workload
        try:
            pod = await self._details.pod(who, cluster.name, subject.namespace, subject.pod)
        except NotFound:
            return "", ""
        kind, _, name = (pod.owners[-1] if pod.owners else "").partition("/")
        return kind, name

    async def _history(self, who: Principal, cluster: Cluster, namespace: str) -> list[RecentChange]:
        """Revisions of all Deployments of a namespace, and changes through this server."""
        query = Query(namespace, limit=MAX_REPLICA_SETS)
        owned: dict[str, list[Manifest]] = {}
        for item in (await cluster.objects(REPLICA_SET, query)).items:
            if owner := controller_of(item):
                owned.setdefault(owner["name"], []).append(item)
        made = [
            RecentChange(_seconds(one.created), "Deployment", name, "; ".join(one.changes), f"revision {one.number}")
            for name, items in owned.items()
            for one in revisions_of(items)
            if one.changes
        ]
        asked = await self.changed.lately(who, cluster.name, namespace) if self.changed else []
        return _joined(made, asked)


def nearest(history: Sequence[RecentChange], alert: Alert, kind: str, name: str) -> list[RecentChange]:
    """What may have caused it: changes before it, of the workload itself first, the last one first."""
    found = []
    for change in history:
        before, own = alert.since - change.at, (change.kind, change.workload) == (kind, name)
        if -LATE_SECONDS <= before <= (OWN_SECONDS if own else OTHERS_SECONDS):
            found.append((not own, max(0.0, before), replace(change, before=max(0.0, before))))
    return [change for _, _, change in sorted(found, key=lambda each: each[:2])[:MAX_CHANGES]]


def _joined(made: Sequence[RecentChange], asked: Sequence[RecentChange]) -> list[RecentChange]:
    """A change through this server and the revision that it made are one; who asked is known from the first."""
    rest, found = list(asked), []
    for revision in made:
        same = next((each for each in rest if _is_same(each, revision)), None)
        if same is not None:
            rest.remove(same)
            revision = replace(revision, source=f"{revision.source}, {same.source}", by=same.by)
        found.append(revision)
    return [*found, *rest]


def _is_same(asked: RecentChange, revision: RecentChange) -> bool:
    where = (asked.kind, asked.workload) == (revision.kind, revision.workload)
    return where and abs(asked.at - revision.at) <= SAME_SECONDS


def _is_about(subject: Subject, workload: Workload, pods: set[str]) -> bool:
    if subject.workload:
        return (subject.kind, subject.workload) == (workload.kind.name, workload.name)
    return subject.pod in pods or _was_pod_of(subject.pod, workload)


def _was_pod_of(pod: str, workload: Workload) -> bool:
    """A pod that is gone is known by the name that its controller gave it."""
    if workload.kind.name == "Deployment":
        return any(pod.rpartition("-")[0] == item["metadata"]["name"] for item in workload.replica_sets)
    ending = r"-\d+" if workload.kind.name == "StatefulSet" else "-[a-z0-9]{5}"
    return re.fullmatch(re.escape(workload.name) + ending, pod) is not None


def _gravest(alert: Alert) -> tuple[bool, int, float]:
    """Firing before pending, critical before warning, new before old."""
    ranks = {"critical": 0, "page": 0, "warning": 1}
    return (alert.state != "firing", ranks.get(alert.severity, 2), -alert.since)


def _seconds(created: str) -> float:
    return datetime.fromisoformat(created).timestamp()
