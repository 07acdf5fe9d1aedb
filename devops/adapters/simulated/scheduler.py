"""The scheduler: the least filled node that fits, or a pod that waits and says why."""

import copy
from collections import Counter

from devops.adapters.simulated.admission import requested
from devops.adapters.simulated.events import record
from devops.adapters.simulated.state import State
from devops.kinds import NODE, POD
from devops.pods import condition
from devops.ports import Manifest
from devops.quantities import parse_quantity

RESOURCES = ("cpu", "memory")


def schedule(state: State) -> None:
    """Give every waiting pod a node."""
    for pod in list(state.all(POD)):
        if not pod["spec"].get("nodeName"):
            _place(state, pod)


def _place(state: State, pod: Manifest) -> None:
    reasons: Counter[str] = Counter()
    fits: list[tuple[float, str]] = []
    for node in state.all(NODE):
        reason, share = _obstacle(state, pod, node)
        if reason:
            reasons[reason] += 1
        else:
            fits.append((share, node["metadata"]["name"]))
    changed = copy.deepcopy(pod)
    if fits:
        changed["spec"]["nodeName"] = min(fits)[1]
        state.put(POD, changed)
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        record(state, pod, "Normal", "Scheduled", f"Successfully assigned {name} to {min(fits)[1]}")
        return
    total = sum(reasons.values())
    message = f"0/{total} nodes are available: " + ", ".join(f"{n} {why}" for why, n in sorted(reasons.items())) + "."
    since = condition(pod, "PodScheduled").get("lastTransitionTime", state.now)
    waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    changed["status"] = {"phase": "Pending", "conditions": [{**waiting, "lastTransitionTime": since}]}
    state.put(POD, changed)
    record(state, pod, "Warning", "FailedScheduling", message)


def _obstacle(state: State, pod: Manifest, node: Manifest) -> tuple[str, float]:
    """Why the pod cannot go there, and how full the node is."""
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable", 0
    tolerated = {toleration.get("key") for toleration in pod["spec"].get("tolerations", [])}
    for taint in node["spec"].get("taints", []):
        if taint["key"] not in tolerated:
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}", 0
    if not pod["spec"].get("nodeSelector", {}).items() <= node["metadata"].get("labels", {}).items():
        return "node(s) didn't match Pod's node affinity/selector", 0
    here = [other for other in state.all(POD) if other["spec"].get("nodeName") == node["metadata"]["name"]]
    fullest = 0.0
    for resource in RESOURCES:
        room = parse_quantity(node["status"]["allocatable"][resource])
        used = sum(requested(other, resource) for other in here)
        if used + requested(pod, resource) > room + 1e-9:
            return f"Insufficient {resource}", 0
        fullest = max(fullest, used / room)
    return "", fullest
