"""The controllers: Deployment -> ReplicaSet -> Pod, StatefulSet, DaemonSet, garbage collection, status."""

import copy
import math
from typing import Any

from common.errors import AppError
from devops.adapters.simulated.admission import admit, quota_use
from devops.adapters.simulated.events import record
from devops.adapters.simulated.kubelet import run_pods
from devops.adapters.simulated.scheduler import schedule
from devops.adapters.simulated.state import State, short_hash
from devops.kinds import BUDGET, DAEMON_SET, DEPLOYMENT, NODE, POD, QUOTA, REPLICA_SET, STATEFUL_SET, Kind
from devops.pods import is_ready
from devops.ports import Manifest

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
MAX_ROUNDS = 100


def settle(state: State) -> None:
    """Run all controllers until nothing changes any more."""
    for _ in range(MAX_ROUNDS):
        before = state.version
        _collect_garbage(state)
        for deployment in list(state.all(DEPLOYMENT)):
            _deploy(state, deployment)
        for replica_set in list(state.all(REPLICA_SET)):
            _replicate(state, replica_set)
        for stateful_set in list(state.all(STATEFUL_SET)):
            _sequence(state, stateful_set)
        for daemon_set in list(state.all(DAEMON_SET)):
            _spread(state, daemon_set)
        schedule(state)
        run_pods(state)
        _budgets(state)
        _quotas(state)
        if state.version == before:
            return
    raise RuntimeError("the simulated cluster does not come to rest")


def _collect_garbage(state: State) -> None:
    alive = {item["metadata"]["uid"] for item in state.objects.values()}
    for key, item in list(state.objects.items()):
        owners = item["metadata"].get("ownerReferences", [])
        if owners and not any(owner["uid"] in alive for owner in owners):
            del state.objects[key]
            state.version += 1


def _owned_by(owner: Manifest) -> dict[str, Any]:
    metadata = owner["metadata"]
    named = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return {**named, "controller": True, "blockOwnerDeletion": True}


def _pods(state: State, owner: Manifest) -> list[Manifest]:
    return list(state.owned(POD, owner))


def _share(value: Any, of: int, up: bool) -> int:
    if isinstance(value, int):
        return value
    exact = of * int(str(value).rstrip("%")) / 100
    return math.ceil(exact) if up else math.floor(exact)


def _deploy(state: State, deployment: Manifest) -> None:
    spec = deployment["spec"]
    owned = list(state.owned(REPLICA_SET, deployment))
    template_hash = short_hash(spec["template"], length=9)
    new = next((one for one in owned if one["metadata"]["labels"][HASH] == template_hash), None)
    revisions = [int(one["metadata"]["annotations"][REVISION]) for one in owned]
    if new is None:
        new = _new_replica_set(state, deployment, template_hash, max(revisions, default=0) + 1)
    elif int(new["metadata"]["annotations"][REVISION]) < max(revisions):
        # A rollback: the old revision becomes the newest one.
        new = copy.deepcopy(new)
        new["metadata"]["annotations"][REVISION] = str(max(revisions) + 1)
        state.put(REPLICA_SET, new)
    old = [one for one in owned if one["metadata"]["uid"] != new["metadata"]["uid"]]
    if not spec.get("paused"):
        _roll(state, deployment, new, old)
    _deployment_status(state, deployment, new, old)


def _new_replica_set(state: State, deployment: Manifest, template_hash: str, revision: int) -> Manifest:
    template = copy.deepcopy(deployment["spec"]["template"])
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = template_hash
    metadata = deployment["metadata"]
    return state.create(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{template_hash}",
                "namespace": metadata["namespace"],
                "labels": dict(template["metadata"]["labels"]),
                "annotations": {REVISION: str(revision)},
                "ownerReferences": [_owned_by(deployment)],
            },
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {**deployment["spec"]["selector"]["matchLabels"], HASH: template_hash}},
                "template": template,
            },
        }
    )


def _roll(state: State, deployment: Manifest, new: Manifest, old: list[Manifest]) -> None:
    replicas = deployment["spec"].get("replicas", 1)
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
    surge = _share(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    total = sum(one["spec"]["replicas"] for one in (new, *old))
    wanted = min(replicas, new["spec"]["replicas"] + max(0, replicas + surge - total))
    _scale(state, new, wanted)
    ready = sum(is_ready(pod) for one in (new, *old) for pod in _pods(state, one))
    removable = max(0, ready - (replicas - unavailable))
    for one in old:
        pods = _pods(state, one)
        spare = one["spec"]["replicas"] - sum(map(is_ready, pods))  # what is not ready may always go
        step = min(one["spec"]["replicas"], spare + removable)
        removable -= max(0, step - spare)
        _scale(state, one, one["spec"]["replicas"] - step)


def _scale(state: State, replica_set: Manifest, replicas: int) -> None:
    if replica_set["spec"]["replicas"] == replicas:
        return
    changed = copy.deepcopy(replica_set)
    verb = "up" if replicas > replica_set["spec"]["replicas"] else "down"
    changed["spec"]["replicas"] = replicas
    changed["metadata"]["generation"] += 1
    state.put(REPLICA_SET, changed)
    owner = state.find(DEPLOYMENT, changed["metadata"]["namespace"], changed["metadata"]["ownerReferences"][0]["name"])
    if owner:
        what = f"Scaled {verb} replica set {changed['metadata']['name']} to {replicas}"
        record(state, owner, "Normal", "ScalingReplicaSet", what)


def _deployment_status(state: State, deployment: Manifest, new: Manifest, old: list[Manifest]) -> None:
    current = {one["metadata"]["uid"]: _pods(state, one) for one in (new, *old)}
    pods = [pod for owned in current.values() for pod in owned]
    updated = current[new["metadata"]["uid"]]
    ready, replicas = sum(map(is_ready, pods)), deployment["spec"].get("replicas", 1)
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
    enough = ready >= replicas - _share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    complete = sum(map(is_ready, updated)) == replicas == len(pods)
    progress = f'ReplicaSet "{new["metadata"]["name"]}" '
    conditions = [
        _condition("Available", enough, "MinimumReplicasAvailable", "MinimumReplicasUnavailable", state, deployment),
        {
            **_condition(
                "Progressing", complete, "NewReplicaSetAvailable", "ProgressDeadlineExceeded", state, deployment
            ),
            "message": progress + ("has successfully progressed." if complete else "has timed out progressing."),
        },
    ]
    failure = next((c for one in (new, *old) for c in one.get("status", {}).get("conditions", [])), None)
    status = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(pods),
        "updatedReplicas": len(updated),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, max(len(pods), replicas) - ready),
        "conditions": [*conditions, *([failure] if failure else [])],
    }
    live = copy.deepcopy(state.get(DEPLOYMENT, deployment["metadata"]["namespace"], deployment["metadata"]["name"]))
    live["metadata"].setdefault("annotations", {})[REVISION] = new["metadata"]["annotations"][REVISION]
    state.put(DEPLOYMENT, {**live, "status": status})


def _condition(kind: str, holds: bool, good: str, bad: str, state: State, item: Manifest) -> dict[str, str]:
    before = {c["type"]: c for c in item.get("status", {}).get("conditions", [])}.get(kind, {})
    status = "True" if holds else "False"
    since = before.get("lastTransitionTime") if before.get("status") == status else state.now
    return {"type": kind, "status": status, "reason": good if holds else bad, "lastTransitionTime": str(since)}


def _replicate(state: State, replica_set: Manifest) -> None:
    pods = _pods(state, replica_set)
    wanted, failure = replica_set["spec"]["replicas"], ""
    for pod in sorted(pods, key=lambda pod: (is_ready(pod), pod["metadata"]["name"]))[: max(0, len(pods) - wanted)]:
        state.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
    for _ in range(wanted - len(pods)):
        suffix = short_hash(replica_set["metadata"]["uid"], state.version, length=5)
        failure = _create_pod(state, replica_set, f"{replica_set['metadata']['name']}-{suffix}")
        if failure:
            break
    kept = _pods(state, replica_set)
    status: dict[str, Any] = {"replicas": len(kept), "readyReplicas": sum(map(is_ready, kept))}
    if failure:
        before = replica_set.get("status", {}).get("conditions", [{}])[0]
        since = before.get("lastTransitionTime", state.now)
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure}
        status["conditions"] = [{**condition, "lastTransitionTime": since}]
    state.put(REPLICA_SET, {**copy.deepcopy(replica_set), "status": status})


def _create_pod(state: State, owner: Manifest, name: str, **more: Any) -> str:
    """Returns why it was refused, or nothing."""
    template = copy.deepcopy(owner["spec"]["template"])
    metadata = {**template.get("metadata", {}), "name": name, "namespace": owner["metadata"]["namespace"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "ownerReferences": [_owned_by(owner)]},
        "spec": {**template["spec"], **more},
    }
    try:
        admit(state, pod)
    except AppError as error:
        record(state, owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
        return error.message
    created = state.create(pod)
    created["status"] = {"phase": "Pending"}
    return ""


def _sequence(state: State, stateful_set: Manifest) -> None:
    name, wanted = stateful_set["metadata"]["name"], stateful_set["spec"].get("replicas", 1)
    pods = {pod["metadata"]["name"]: pod for pod in _pods(state, stateful_set)}
    template = stateful_set["spec"]["template"]
    for pod_name, pod in pods.items():
        if int(pod_name.rsplit("-", 1)[1]) >= wanted or not _same_template(pod, template):
            state.delete(POD, pod["metadata"]["namespace"], pod_name)
    for number in range(wanted):
        if f"{name}-{number}" not in pods:
            _create_pod(state, stateful_set, f"{name}-{number}")
    _simple_status(state, STATEFUL_SET, stateful_set, wanted)


def _spread(state: State, daemon_set: Manifest) -> None:
    have = {pod["spec"].get("nodeName"): pod for pod in _pods(state, daemon_set)}
    nodes = [node["metadata"]["name"] for node in state.all(NODE)]
    for node, pod in have.items():
        if node not in nodes or not _same_template(pod, daemon_set["spec"]["template"]):
            state.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
    for node in nodes:
        if node not in have:
            suffix = short_hash(daemon_set["metadata"]["uid"], node, state.version, length=5)
            _create_pod(state, daemon_set, f"{daemon_set['metadata']['name']}-{suffix}", nodeName=node)
    _simple_status(state, DAEMON_SET, daemon_set, len(nodes))


def _same_template(pod: Manifest, template: Manifest) -> bool:
    meta = template.get("metadata", {})
    return bool(
        pod["spec"]["containers"] == template["spec"]["containers"]
        and pod["metadata"].get("annotations", {}) == meta.get("annotations", {})
    )


def _simple_status(state: State, kind: Kind, item: Manifest, wanted: int) -> None:
    pods = _pods(state, item)
    ready = sum(map(is_ready, pods))
    status: dict[str, Any] = {"observedGeneration": item["metadata"]["generation"]}
    if kind is DAEMON_SET:
        status |= {"desiredNumberScheduled": wanted, "currentNumberScheduled": len(pods), "numberReady": ready}
        status |= {"updatedNumberScheduled": len(pods), "numberAvailable": ready}
    else:
        status |= {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        status |= {"currentReplicas": len(pods), "updatedReplicas": len(pods)}
    live = state.get(kind, item["metadata"]["namespace"], item["metadata"]["name"])
    state.put(kind, {**copy.deepcopy(live), "status": status})


def _budgets(state: State) -> None:
    for budget in list(state.all(BUDGET)):
        spec = budget["spec"]
        wanted = spec["selector"]["matchLabels"].items()
        namespace = budget["metadata"]["namespace"]
        pods = [pod for pod in state.all(POD, namespace) if wanted <= pod["metadata"].get("labels", {}).items()]
        if "minAvailable" in spec:
            needed = _share(spec["minAvailable"], len(pods), up=True)
        else:
            needed = len(pods) - _share(spec.get("maxUnavailable", 1), len(pods), up=True)
        healthy = sum(map(is_ready, pods))
        status = {
            "currentHealthy": healthy,
            "desiredHealthy": needed,
            "expectedPods": len(pods),
            "disruptionsAllowed": max(0, healthy - needed),
        }
        state.put(BUDGET, {**copy.deepcopy(budget), "status": status})


def _quotas(state: State) -> None:
    for quota in list(state.all(QUOTA)):
        status = {"hard": dict(quota["spec"]["hard"]), "used": quota_use(state, quota)}
        state.put(QUOTA, {**copy.deepcopy(quota), "status": status})
