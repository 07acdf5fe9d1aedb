"""The facts that a diagnosis stands on, and where each was seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devops.alerts import Correlated
from devops.details import Workload
from devops.events import Event
from devops.kinds import DEPLOYMENT
from devops.logs import Line
from devops.pods import container_statuses, is_ready
from devops.ports import Manifest


@dataclass(frozen=True)
class Evidence:
    """A line, and what it was read from. The line is untrusted text."""

    source: str
    line: str


@dataclass(frozen=True)
class Facts:
    """All that was gathered about one workload."""

    workload: Workload
    pods: Sequence[Manifest]
    events: Sequence[Event]
    logs: Mapping[str, Sequence[Line]] = field(default_factory=dict)
    """Last lines of containers that fail, by `pod/container`."""
    quotas: Sequence[Manifest] = ()
    nodes: Mapping[str, Manifest] = field(default_factory=dict)
    alerts: Sequence[Correlated] = ()
    missing: Sequence[str] = ()
    """What could not be read, and why."""

    @property
    def wanted(self) -> int:
        """Replicas that there should be."""
        if self._is_on_each_node:
            return self._counted("desiredNumberScheduled")
        replicas = self.workload.item["spec"].get("replicas")
        return 1 if replicas is None else int(replicas)

    @property
    def unready(self) -> list[Manifest]:
        """Pods that do not serve."""
        return [pod for pod in self.pods if not is_ready(pod)]

    @property
    def ready(self) -> int:
        """Replicas that serve, as the cluster counts them: `pods` may be only some."""
        return self._counted("numberReady" if self._is_on_each_node else "readyReplicas")

    @property
    def healthy(self) -> bool:
        """All replicas are there, ready, and of the newest revision, by the cluster's numbers for this very spec."""
        is_seen = self._counted("observedGeneration") >= int(self.workload.item["metadata"].get("generation") or 0)
        there = self._counted("currentNumberScheduled" if self._is_on_each_node else "replicas")
        return is_seen and there == self.ready == self.wanted and self._updated >= self.wanted

    @property
    def _updated(self) -> int:
        if self._is_on_each_node:
            return self._counted("updatedNumberScheduled")
        status = self.workload.item.get("status", {})
        # A 0 is left out. A StatefulSet leaves the number out also where nothing is being updated.
        is_updating = status.get("currentRevision") != status.get("updateRevision")
        return self._counted("updatedReplicas", 0 if self.workload.kind is DEPLOYMENT or is_updating else self.wanted)

    @property
    def _is_on_each_node(self) -> bool:
        return self.workload.kind.name == "DaemonSet"

    def _counted(self, name: str, default: int = 0) -> int:
        return int(self.workload.item.get("status", {}).get(name) or default)

    def failing(self) -> Iterator[tuple[Manifest, dict[str, Any]]]:
        """Containers that are not ready, with their pods."""
        for pod in self.unready:
            for status in container_statuses(pod):
                if not status.get("ready"):
                    yield pod, status

    def about(self, *reasons: str) -> list[Event]:
        """Events with these reasons, newest first."""
        return [event for event in self.events if event.reason in reasons]

    def said(self, *words: str) -> list[Evidence]:
        """Log lines that contain one of the words, newest first; the same text of another container is left out."""
        found: dict[str, Evidence] = {}
        for source, lines in self.logs.items():
            for line in reversed(lines):
                if any(word in line.text.lower() for word in words):
                    found.setdefault(line.text, Evidence(f"log of {source} at {line.time}", line.text))
        return list(found.values())


def name_of(item: Manifest) -> str:
    """Kind and name."""
    return f"{item.get('kind', 'Pod')}/{item['metadata']['name']}"
