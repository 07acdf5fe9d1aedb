"""The past of the simulated cluster, worked out from what it holds now: the same for the same moment."""

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from devops.adapters.simulated.activity import pod_use
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.adapters.simulated.state import Clock, seconds_of, short_hash
from devops.budget import Counted
from devops.kinds import POD
from devops.metrics import POINTS, Metric, Series
from devops.pods import container_statuses, is_ready
from devops.ports import Manifest, Query

MOST = 10_000
REQUESTS_A_SECOND = 4.0
"""Of a pod, on average."""
FAILING = 0.03
"""Share of requests to a pod that is not ready which fail: most of them went elsewhere."""
FINISHED = ("Succeeded", "Failed")


class SimulatedHistory:
    """Implements History and Requests."""

    def __init__(self, cluster: SimulatedCluster, clock: Clock = time.time) -> None:
        self._cluster = cluster
        self._clock = clock

    async def series(self, metric: Metric, namespace: str, pods: Sequence[str], minutes: int) -> Sequence[Series]:
        """See History."""
        end = self._clock()
        step = max(15.0, minutes * 60 / POINTS)
        moments = [end - step * number for number in range(POINTS, -1, -1) if step * number <= minutes * 60]
        found = (await self._cluster.objects(POD, Query(namespace, limit=MOST))).items
        return [
            Series(pod["metadata"]["name"], points)
            for pod in found
            if pod["metadata"]["name"] in pods
            and (points := [(at, _value(metric, pod, at, end)) for at in moments if at >= _born(pod)])
        ]

    async def counted(self, namespaces: Sequence[str], seconds: int) -> Mapping[str, Counted]:
        """See Requests."""
        found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        now = self._clock()
        for pod in (await self._cluster.objects(POD, Query(limit=MOST))).items:
            namespace = pod["metadata"]["namespace"]
            phase = pod.get("status", {}).get("phase")
            if namespace not in namespaces or namespace.startswith("kube-") or phase in FINISHED:
                continue
            # What is well was well for the whole window; what is not, since it is there.
            well = is_ready(pod)
            span = float(seconds) if well else min(float(seconds), max(0.0, now - _born(pod)))
            found[namespace][0] += REQUESTS_A_SECOND * span
            found[namespace][1] += REQUESTS_A_SECOND * span * (_usual(namespace) if well else FAILING)
        return {name: (requests, failed) for name, (requests, failed) in found.items()}


def _value(metric: Metric, pod: Manifest, at: float, now: float) -> float:
    cpu, memory = pod_use(pod, at)
    match metric:
        case "cpu":
            return cpu
        case "memory":
            return memory
        case "restarts":
            count = sum(int(status.get("restartCount") or 0) for status in container_statuses(pod))
            life = max(1.0, now - _born(pod))
            return float(math.floor(count * (at - _born(pod)) / life + 1e-6))
        case "network_received":
            return _requests_at(pod, at) * 2048
        case "errors":
            return _requests_at(pod, at) * (_usual(pod["metadata"]["namespace"]) if is_ready(pod) else FAILING)


def _requests_at(pod: Manifest, at: float) -> float:
    phase = int(short_hash(pod["metadata"]["uid"], length=4), 16)
    return REQUESTS_A_SECOND * (1 + 0.4 * math.sin(at / 3600 * 2 * math.pi + phase))


def _usual(namespace: str) -> float:
    """Failures of a namespace when all is well: between 0.01 % and 0.06 %."""
    return 0.0001 + int(short_hash(namespace, length=2), 16) / 256 * 0.0005


def _born(pod: Manifest) -> float:
    return seconds_of(pod["metadata"]["creationTimestamp"])
