"""What a pod's manifest says about its state, in the words of `kubectl get pods`."""

from collections.abc import Collection, Iterator
from typing import Any

from devops.ports import Manifest


def container_statuses(pod: Manifest) -> Iterator[dict[str, Any]]:
    """Of init containers first, then of the others."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def condition(item: Manifest, kind: str) -> dict[str, Any]:
    """The condition of this type, or an empty one."""
    return next((c for c in item.get("status", {}).get("conditions") or [] if c["type"] == kind), {})


def is_owned(item: Manifest, owners: Collection[str]) -> bool:
    """Whether one of these uids is that of an owner."""
    return any(owner.get("uid") in owners for owner in item["metadata"].get("ownerReferences") or ())


def pod_status(pod: Manifest) -> str:
    """One word: the phase, or the reason why a container does not run."""
    status = pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    word = str(status.get("reason") or status.get("phase") or "Unknown")
    for container in container_statuses(pod):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return str(waiting["reason"])
        if ended and ended.get("reason") != "Completed":
            return str(ended.get("reason") or f"ExitCode:{ended.get('exitCode')}")
    return word


def ready_count(pod: Manifest) -> tuple[int, int]:
    """Containers that are ready, and containers in all."""
    ready = sum(1 for c in pod.get("status", {}).get("containerStatuses") or [] if c.get("ready"))
    return ready, len(pod["spec"]["containers"])


def restart_count(pod: Manifest) -> int:
    """Restarts of all containers."""
    return sum(int(c.get("restartCount") or 0) for c in pod.get("status", {}).get("containerStatuses") or [])


def is_ready(pod: Manifest) -> bool:
    """Whether the pod serves."""
    return condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")
