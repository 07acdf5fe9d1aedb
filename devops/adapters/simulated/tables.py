"""Rows as the API server prints them: the same columns, the same words."""

from collections.abc import Mapping
from typing import Any

from devops.adapters.simulated.state import seconds_of
from devops.kinds import DAEMON_SET, DEPLOYMENT, NODE, POD, STATEFUL_SET, Kind
from devops.pods import condition, pod_status, ready_count, restart_count
from devops.ports import Manifest, Row


def row_of(kind: Kind, item: Manifest, now: float) -> Row:
    """The row of one object."""
    metadata = item["metadata"]
    created = metadata["creationTimestamp"]
    cells = {"name": metadata["name"], **_cells(kind, item), "age": age(now - seconds_of(created))}
    return Row(metadata.get("namespace", ""), metadata["name"], created, metadata.get("labels", {}), cells)


def age(seconds: float) -> str:
    """As kubectl shows it, roughly: the two largest units at most."""
    seconds = max(0, int(seconds))
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 10 * 60:
        return f"{seconds // 60}m{seconds % 60}s" if seconds % 60 else f"{seconds // 60}m"
    if seconds < 3 * 3600:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h" if seconds < 48 * 3600 else f"{seconds // 86400}d"


def _cells(kind: Kind, item: Manifest) -> Mapping[str, Any]:
    status = item.get("status", {})
    if kind is POD:
        return _pod(item)
    if kind is NODE:
        return _node(item)
    if kind is DEPLOYMENT:
        ready = f"{status.get('readyReplicas', 0)}/{item['spec'].get('replicas', 1)}"
        counts = {"up-to-date": status.get("updatedReplicas", 0), "available": status.get("availableReplicas", 0)}
        return {"ready": ready, **counts, **_template(item)}
    if kind is STATEFUL_SET:
        return {"ready": f"{status.get('readyReplicas', 0)}/{item['spec'].get('replicas', 1)}", **_template(item)}
    if kind is DAEMON_SET:
        counts = {"desired": status.get("desiredNumberScheduled", 0), "ready": status.get("numberReady", 0)}
        more = {"up-to-date": status.get("updatedNumberScheduled", 0), "available": status.get("numberAvailable", 0)}
        return {**counts, **more, **_template(item)}
    return {}


def _template(item: Manifest) -> dict[str, str]:
    containers = item["spec"]["template"]["spec"]["containers"]
    names, images = (",".join(container[field] for container in containers) for field in ("name", "image"))
    return {"containers": names, "images": images}


def _pod(pod: Manifest) -> dict[str, Any]:
    ready, total = ready_count(pod)
    return {
        "ready": f"{ready}/{total}",
        "status": pod_status(pod),
        "restarts": str(restart_count(pod)),
        "ip": pod.get("status", {}).get("podIP", "<none>"),
        "node": pod["spec"].get("nodeName", "<none>"),
    }


def _node(node: Manifest) -> dict[str, Any]:
    words = ["Ready" if condition(node, "Ready").get("status") == "True" else "NotReady"]
    if node["spec"].get("unschedulable"):
        words.append("SchedulingDisabled")
    info = node["status"].get("nodeInfo", {})
    return {"status": ",".join(words), "roles": "<none>", "version": info.get("kubeletVersion", "")}
