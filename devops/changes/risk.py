"""How much can go wrong, from rules that a person can check. No model has a say in it."""

from devops.changes.change import RISKS, Blast, Risk, Target
from devops.changes.cloud_operations import RebootInstance, StartInstance, StopInstance, UpdateService
from devops.changes.operations import Apply, Cordon, Delete, Drain, Operation, Restart, Rollback, Scale, SetImage
from devops.ports import Manifest

_BASE: dict[type, int] = {
    **{Scale: 0, Restart: 0, Cordon: 0, SetImage: 1, Rollback: 1, Apply: 1, Delete: 2, Drain: 2},
    **{StartInstance: 0, StopInstance: 1, RebootInstance: 1, UpdateService: 0},
}
SENSITIVE = frozenset(
    "serviceAccountName serviceAccount secretKeyRef secretRef secretName secret nodePublishSecretRef projected".split()
)
"""Fields that let pods read more than they could before, or act as another account; `serviceAccount` is an old name."""


def assess(
    operation: Operation, at: Target, live: Manifest | None, blast: Blast, after: Manifest | None = None
) -> tuple[Risk, list[str]]:
    """The risk, and the reasons that raised it. `after` is what the dry run made of it."""
    level, reasons = _BASE[type(operation)], []

    def raised(to: int, reason: str) -> None:
        nonlocal level
        level = max(level, to)
        reasons.append(reason)

    wanted = _replicas(operation)
    if wanted is not None and blast.replicas:
        if wanted == 0:
            raised(2, "no replica is left")
        elif wanted * 2 < blast.replicas:
            raised(1, "more than half of the replicas go")
    if isinstance(operation, UpdateService) and operation.task_definition:
        raised(1, "it runs another task definition")
    if isinstance(operation, UpdateService) and operation.redeployed_at and blast.replicas <= 1:
        raised(1, "there is one task at most, so service may be interrupted")
    if isinstance(operation, StopInstance) and _is_in_group(live):
        raised(2, "its auto scaling group would replace it, and terminate it")
    if isinstance(operation, Restart | SetImage | Rollback) and blast.replicas <= 1:
        raised(1, "there is one replica at most, so service may be interrupted")
    if isinstance(operation, Restart | SetImage | Rollback | Drain | Delete):
        for budget in blast.budgets:
            if not budget["disruptions_allowed"]:
                raised(2, f"budget {budget['name']} allows no disruption now")
    if isinstance(operation, Delete) and at.kind == "StatefulSet":
        raised(3, "it keeps state")
    # The server may add fields, and an earlier revision may have had others: what would be stored counts, too.
    if isinstance(operation, Apply | Rollback) and (_gains(after or {}, live) or _asks(operation, live)):
        raised(3, "its pods could read secrets or act as another account")
    if at.namespace is not None and at.namespace.startswith("kube-"):
        raised(3, "the cluster itself depends on it")
    return RISKS[level], reasons


def _replicas(operation: Operation) -> int | None:
    if isinstance(operation, Scale):
        return operation.replicas
    return operation.desired_count if isinstance(operation, UpdateService) else None


def _is_in_group(live: Manifest | None) -> bool:
    labels = ((live or {}).get("metadata") or {}).get("labels") or {}
    return "aws:autoscaling:groupName" in labels


def _asks(operation: Apply | Rollback, live: Manifest | None) -> bool:
    return isinstance(operation, Apply) and _gains(operation.manifest, live)


def _gains(manifest: Manifest, live: Manifest | None) -> bool:
    return bool(_mentions(manifest) - _mentions(live or {}))


def _mentions(value: object, key: str = "") -> set[str]:
    """Everything that a manifest says about secrets and accounts."""
    if isinstance(value, dict):
        if key in SENSITIVE:
            return {f"{key}={sorted(value.items(), key=str)}"}
        return {found for name, item in value.items() for found in _mentions(item, name)}
    if isinstance(value, list):
        return {found for item in value for found in _mentions(item, key)}
    return {f"{key}={value}"} if key in SENSITIVE else set()
