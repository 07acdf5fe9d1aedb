"""What containers would do: the simulated kubelet decides by image, environment and limits, and writes pod status."""

from dataclasses import dataclass
from typing import Any

from devops.adapters.simulated.events import record
from devops.adapters.simulated.state import State, rfc3339, seconds_of, short_hash
from devops.kinds import POD
from devops.ports import Manifest
from devops.quantities import parse_quantity

BEHAVIOUR = "simulated/behaviour"
"""Annotation of a pod that names its behaviour: runs, crashes, out-of-memory, image-missing, not-ready."""
REGISTRY = "registry.fernhill.example"
TAGS = {
    "ingest-api": ("2026.2.1", "2026.2.3"),
    "telemetry-store": ("17.4-fern2",),
    "alert-engine": ("2026.2.1", "2026.2.3", "2026.3.0"),
    "web-portal": ("2026.2.1", "2026.2.3", "2026.3.0"),
    "report-worker": ("2026.2.3",),
    "billing-api": ("2026.2.3",),
    "ingest-replay": ("0.4.0",),
}
"""What there is in the simulated registry; images of other registries are taken as there."""
MAX_CONNECTIONS = 40
"""Connections to each shard that one alert-engine may open (architecture overview)."""
BROKEN_PAGES = f"{REGISTRY}/web-portal:2026.3.0"
"""The release whose readiness probe fails."""
RESTART_SECONDS = (10, 20, 40, 80, 160, 300)


@dataclass(frozen=True)
class Behaviour:
    """How a container ends or fails to start; `runs` is the good one."""

    name: str
    exit_code: int = 0
    reason: str = ""


RUNS = Behaviour("runs")
NOT_READY = Behaviour("not-ready")
IMAGE_MISSING = Behaviour("image-missing")
CRASHES = Behaviour("crashes", 1, "Error")
OUT_OF_MEMORY = Behaviour("out-of-memory", 137, "OOMKilled")
BEHAVIOURS = {b.name: b for b in (RUNS, NOT_READY, IMAGE_MISSING, CRASHES, OUT_OF_MEMORY)}


def environment(container: Manifest) -> dict[str, str]:
    """The plain values of a container's environment."""
    return {item["name"]: item["value"] for item in container.get("env", []) if "value" in item}


def behaviour_of(pod: Manifest, container: Manifest) -> Behaviour:
    """Decided by annotation, else by what the demo company's services cannot live with."""
    named = BEHAVIOURS.get(pod["metadata"].get("annotations", {}).get(BEHAVIOUR, ""))
    if named is not None:
        return named
    image, values = container["image"], environment(container)
    host, _, rest = image.partition("/")
    service, _, tag = rest.partition(":")
    if host == REGISTRY and tag not in TAGS.get(service, ()):
        return IMAGE_MISSING
    if int(values.get("STORE_CONNECTIONS", "0")) > MAX_CONNECTIONS:
        return CRASHES
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    if limit and parse_quantity(limit) < parse_quantity(values.get("NEEDS_MEMORY", "0")):
        return OUT_OF_MEMORY
    return NOT_READY if image == BROKEN_PAGES else RUNS


def restarts_after(seconds: float) -> int:
    """How often a container that ends at once has been restarted by then."""
    count = 0
    while seconds > 0:
        seconds -= RESTART_SECONDS[min(count, len(RESTART_SECONDS) - 1)]
        count += 1
    return max(0, count - 1)


def run_pods(state: State) -> None:
    """Bring the status of every scheduled pod up to date."""
    for pod in list(state.all(POD)):
        if pod["spec"].get("nodeName") and pod.get("status", {}).get("phase") != "Failed":
            _run(state, pod)


def _run(state: State, pod: Manifest) -> None:
    metadata = pod["metadata"]
    started = pod.get("status", {}).get("startTime") or state.now
    statuses = [_container(state, pod, container, started) for container in pod["spec"]["containers"]]
    ready = all(status["ready"] for status in statuses)
    phase = "Pending" if any("image" in str(s["state"].get("waiting", "")).lower() for s in statuses) else "Running"
    octets = int(short_hash(metadata["uid"], length=4), 16)
    status = {
        "phase": phase,
        "startTime": started,
        "podIP": f"10.20.{octets >> 8}.{octets & 255}",
        "conditions": [
            _condition("PodScheduled", True, started),
            _condition("Initialized", True, started),
            _condition("ContainersReady", ready, started),
            _condition("Ready", ready, started),
        ],
        "containerStatuses": statuses,
    }
    state.put(POD, {**pod, "metadata": dict(metadata), "status": status})


def _condition(kind: str, holds: bool, since: str) -> dict[str, str]:
    condition = {"type": kind, "status": "True" if holds else "False", "lastTransitionTime": since}
    return condition if holds else {**condition, "reason": "ContainersNotReady"}


def _container(state: State, pod: Manifest, container: Manifest, started: str) -> dict[str, Any]:
    behaviour = behaviour_of(pod, container)
    _tell(state, pod, container, behaviour)
    status = {"name": container["name"], "image": container["image"], "ready": behaviour is RUNS, "restartCount": 0}
    if behaviour in (RUNS, NOT_READY):
        return {**status, "started": True, "state": {"running": {"startedAt": started}}}
    if behaviour is IMAGE_MISSING:
        message = f'Back-off pulling image "{container["image"]}": not found'
        return {**status, "started": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": message}}}
    restarts = restarts_after(state.clock() - seconds_of(started))
    ended = {
        "exitCode": behaviour.exit_code,
        "reason": behaviour.reason,
        "startedAt": rfc3339(state.clock() - 4),
        "finishedAt": rfc3339(state.clock() - 2),
    }
    message = f"back-off 5m0s restarting failed container={container['name']} pod={pod['metadata']['name']}"
    return {
        **status,
        "restartCount": restarts,
        "started": False,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
        "lastState": {"terminated": ended},
    }


def _tell(state: State, pod: Manifest, container: Manifest, behaviour: Behaviour) -> None:
    """The events that a kubelet writes about a container that does not serve."""
    name = container["name"]
    if behaviour is IMAGE_MISSING:
        image = container["image"]
        record(
            state, pod, "Warning", "Failed", f'Failed to pull image "{image}": rpc error: code = NotFound: not found'
        )
    elif behaviour is NOT_READY:
        record(state, pod, "Warning", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500")
    elif behaviour is not RUNS:
        what = f"Back-off restarting failed container {name} in pod {pod['metadata']['name']}"
        record(state, pod, "Warning", "BackOff", what)
