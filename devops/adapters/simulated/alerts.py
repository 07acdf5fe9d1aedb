"""Alerts of the simulated cluster: the usual rules of a Kubernetes Prometheus, on what the cluster holds."""

import time
from collections.abc import Iterator, Sequence

from devops.adapters.simulated.cluster import SimulatedCluster
from devops.adapters.simulated.state import Clock, seconds_of
from devops.alerts import Alert
from devops.kinds import DEPLOYMENT, POD
from devops.pods import condition, container_statuses, is_ready
from devops.ports import Manifest, Query

MOST = 10_000
HOLD_SECONDS = 900.0
"""So long a rule has to hold before it fires; until then it is pending."""


class SimulatedAlerts:
    """Implements AlertSource. Rule names and labels are those of the Kubernetes mixin."""

    def __init__(self, cluster: SimulatedCluster, clock: Clock = time.time) -> None:
        self._cluster = cluster
        self._clock = clock

    async def active(self) -> Sequence[Alert]:
        """See AlertSource."""
        pods = (await self._cluster.objects(POD, Query(limit=MOST))).items
        deployments = (await self._cluster.objects(DEPLOYMENT, Query(limit=MOST))).items
        return [
            *(alert for pod in pods if not is_ready(pod) for alert in self._of_pod(pod)),
            *(alert for deployment in deployments for alert in self._of_deployment(deployment)),
        ]

    def _of_pod(self, pod: Manifest) -> Iterator[Alert]:
        name, since = pod["metadata"]["name"], seconds_of(pod["metadata"]["creationTimestamp"])
        labels = {"namespace": pod["metadata"]["namespace"], "pod": name}
        reasons = {
            status["name"]: ((status.get("state") or {}).get("waiting") or {}).get("reason", "")
            for status in container_statuses(pod)
        }
        for container, reason in reasons.items():
            more = {**labels, "container": container}
            if reason == "CrashLoopBackOff":
                yield self._alert("KubePodCrashLooping", since, f"Container {container} is crash looping.", **more)
            elif reason:
                text = f"Container {container} waits: {reason}."
                yield self._alert("KubeContainerWaiting", since, text, reason=reason, **more)
        if not any(reasons.values()):
            yield self._alert("KubePodNotReady", since, f"Pod {name} is not ready.", **labels)

    def _of_deployment(self, deployment: Manifest) -> Iterator[Alert]:
        progressing = condition(deployment, "Progressing")
        if progressing.get("status") == "False":
            metadata = deployment["metadata"]
            labels = {"namespace": metadata["namespace"], "deployment": metadata["name"]}
            since = seconds_of(progressing["lastTransitionTime"])
            yield self._alert("KubeDeploymentRolloutStuck", since, "The rollout does not go on.", **labels)

    def _alert(self, name: str, since: float, summary: str, **labels: str) -> Alert:
        state = "firing" if self._clock() - since >= HOLD_SECONDS else "pending"
        return Alert(name, state, since, "warning", summary, {"alertname": name, "severity": "warning", **labels})
