"""Looks at a live object and what hangs on it, and works out what an operation would send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from common.errors import Conflict, NotFound
from devops.changes.applying import checked_manifest
from devops.changes.change import Blast, Target
from devops.changes.digest import digest_of
from devops.changes.manifests import essence, fingerprint, marked
from devops.changes.operations import Apply, Delete, Drain, Operation, Rollback
from devops.changes.ports import ChangeTarget
from devops.kinds import BUDGET, POD, REPLICA_SET
from devops.ports import Manifest

SHOWN_PODS = 50


@dataclass(frozen=True)
class Observation:
    """The live object (None: there is none), and whom it reaches."""

    live: Manifest | None
    pods: Sequence[Manifest] = ()
    budgets: Sequence[Manifest] = ()
    replica_sets: Sequence[Manifest] = ()
    context: Any = None
    """What else must not have changed until the execution."""
    only_counts: bool = False
    """Pods and budgets are of namespaces that not everybody sees who sees the change: none is named."""

    @property
    def uid(self) -> str:
        return str(self.live["metadata"]["uid"]) if self.live else ""

    @property
    def resource_version(self) -> str:
        return str(self.live["metadata"]["resourceVersion"]) if self.live else ""

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.live, self.context)

    @property
    def blast(self) -> Blast:
        names = [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in self.pods]
        replicas = ((self.live or {}).get("spec") or {}).get("replicas")
        return Blast(
            replicas=replicas if isinstance(replicas, int) else 0,
            pods=[] if self.only_counts else sorted(names)[:SHOWN_PODS],
            pod_count=len(names),
            budgets=_tightest(self.budgets) if self.only_counts else [_budget(budget) for budget in self.budgets],
        )


@dataclass(frozen=True)
class Write:
    """The one thing that will be sent; a drain evicts pods after it."""

    verb: Literal["create", "replace", "apply", "delete", "drain"]
    manifest: Manifest | None = None

    def digest(self, at: Target) -> str:
        """What is approved, and compared before it is sent. A new status or mark does not count."""
        return digest_of([self.verb, at.cluster, at.kind, at.namespace, at.name, essence(self.manifest)])


async def observe(target: ChangeTarget, at: Target, operation: Operation) -> Observation:
    """Raises NotFound unless the operation may create the object, and Conflict if it cannot be done at all."""
    live = await target.read(at.api, at.namespace, at.name)
    if live is None:
        if isinstance(operation, Apply):
            return Observation(None)
        lists = "list_instances or list_services" if at.api.in_cloud else "list_workloads, list_pods or list_nodes"
        raise NotFound(f"There is no {at}.", f"Read what is there with {lists}.")
    if isinstance(operation, Drain):
        return await _observe_node(target, live)
    labels = _selector(live)
    if labels is None or at.namespace is None:
        return Observation(live)
    pods = await target.related(POD, at.namespace, labels=labels)
    sets: Sequence[Manifest] = ()
    if isinstance(operation, Rollback):
        sets = await target.related(REPLICA_SET, at.namespace, labels=labels)
    budgets = await _budgets(target, at.namespace, pods)
    # Looked at again, since the rest took its time and the version is the precondition of what is sent.
    fresh = await target.read(at.api, at.namespace, at.name)
    if fresh is None:
        raise NotFound(f"There is no {at} any more.", "Read what is there.")
    return Observation(fresh, pods, budgets, sets)


async def _observe_node(target: ChangeTarget, live: Manifest) -> Observation:
    pods = await evictable(target, live["metadata"]["name"])
    alone = sum(_controller(pod) is None for pod in pods)
    if alone:
        hint = "Find them with list_pods, and delete them with delete_resource first, if they may be lost."
        raise Conflict(f"Nothing would start {alone} of its pods again elsewhere: they have no controller.", hint)
    budgets: list[Manifest] = []
    for namespace in sorted({pod["metadata"]["namespace"] for pod in pods}):
        inside = [pod for pod in pods if pod["metadata"]["namespace"] == namespace]
        budgets += await _budgets(target, namespace, inside)
    owners = sorted({f"{pod['metadata']['namespace']}/{_controller(pod)}" for pod in pods})
    return Observation(live, pods, budgets, context=owners, only_counts=True)


async def evictable(target: ChangeTarget, node: str) -> list[Manifest]:
    """The pods of a node, without those that belong to it: of DaemonSets, of the kubelet itself, and finished ones."""
    pods = await target.related(POD, None, fields={"spec.nodeName": node})
    return [pod for pod in pods if not _stays(pod)]


def write_of(operation: Operation, at: Target, seen: Observation) -> Write:
    """What the operation sends, given what was seen."""
    if isinstance(operation, Apply):
        _, manifest = checked_manifest(operation.manifest)
        return Write("apply" if seen.live else "create", manifest)
    if isinstance(operation, Delete):
        return Write("delete")
    if seen.live is None:
        raise NotFound(f"There is no {at}.", "Plan anew.")
    if isinstance(operation, Rollback):
        return Write("replace", operation.edited(seen.live, list(seen.replica_sets)))
    return Write("drain" if isinstance(operation, Drain) else "replace", operation.edited(seen.live))


async def send(
    target: ChangeTarget, at: Target, write: Write, seen: Observation, change_id: str, dry_run: bool
) -> Manifest | None:
    """Send it, with what was seen as precondition; the object afterwards, None if it is gone."""
    if write.verb == "delete":
        await target.delete(at.api, at.namespace, at.name, seen.resource_version, seen.uid, dry_run)
        return None
    manifest = marked(write.manifest or {}, change_id)
    if write.verb == "create":
        return await target.create(manifest, dry_run)
    manifest["metadata"] |= {"uid": seen.uid, "resourceVersion": seen.resource_version}
    if write.verb == "apply":
        return await target.apply(manifest, dry_run)
    return await target.replace(manifest, dry_run)


def _selector(live: Manifest) -> Mapping[str, str] | None:
    """Labels of the pods of this object; None if it has none."""
    if live.get("kind") == "Pod":
        return None
    selector = (live.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels") if "matchLabels" in selector or "matchExpressions" in selector else selector
    return labels or None


async def _budgets(target: ChangeTarget, namespace: str, pods: Sequence[Manifest]) -> list[Manifest]:
    budgets = await target.related(BUDGET, namespace)
    return [budget for budget in budgets if any(_guards(budget, pod) for pod in pods)]


def _guards(budget: Manifest, pod: Manifest) -> bool:
    wanted = ((budget["spec"].get("selector") or {}).get("matchLabels")) or {}
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


def _budget(budget: Manifest) -> Mapping[str, Any]:
    allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
    return {"name": f"{budget['metadata']['namespace']}/{budget['metadata']['name']}", "disruptions_allowed": allowed}


def _tightest(budgets: Sequence[Manifest]) -> list[Mapping[str, Any]]:
    """How many there are, and what the one allows that allows least."""
    allowed = [_budget(budget)["disruptions_allowed"] for budget in budgets]
    return [{"name": f"(one of {len(allowed)})", "disruptions_allowed": min(allowed)}] if allowed else []


def _controller(pod: Manifest) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((f"{owner['kind']}/{owner['name']}" for owner in owners if owner.get("controller")), None)


def _stays(pod: Manifest) -> bool:
    mirrored = "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return mirrored or finished or (_controller(pod) or "").startswith("DaemonSet/")
