"""The revisions of a Deployment, and what changed from one to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devops.ports import Manifest
from devops.views import environment_of, redacted

REVISION = "deployment.kubernetes.io/revision"
IGNORED_LABELS = ("pod-template-hash",)


@dataclass(frozen=True)
class Revision:
    """One ReplicaSet. `changes` says what is new against the revision before."""

    number: int
    name: str
    uid: str
    created: str
    replicas: int
    images: list[str]
    changes: list[str]


def revisions_of(replica_sets: Sequence[Manifest]) -> list[Revision]:
    """Newest first."""
    ordered = sorted(replica_sets, key=_number)
    found = []
    for index, item in enumerate(ordered):
        before = ordered[index - 1] if index else None
        spec = item["spec"]["template"]["spec"]
        found.append(
            Revision(
                _number(item),
                item["metadata"]["name"],
                item["metadata"]["uid"],
                item["metadata"]["creationTimestamp"],
                int(item["spec"].get("replicas") or 0),
                [container["image"] for container in spec["containers"]],
                changes(before["spec"]["template"], item["spec"]["template"]) if before else [],
            )
        )
    return found[::-1]


def _number(item: Manifest) -> int:
    return int(item["metadata"].get("annotations", {}).get(REVISION, 0))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Lines such as `alert-engine: STORE_CONNECTIONS: 40 -> 60`. Secrets are redacted first."""
    old, new = _flat(before), _flat(after)
    return [
        f"{name}: {old.get(name, '(not set)')} -> {new.get(name, '(not set)')}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _flat(template: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for container in [*(template["spec"].get("initContainers") or []), *template["spec"]["containers"]]:
        name = container["name"]
        found[f"{name}: image"] = container["image"]
        found |= {f"{name}: {key}": value for key, value in environment_of(container).items()}
        rest = {"resources", "readinessProbe", "livenessProbe", "startupProbe", "command", "args", "ports"}
        found |= {f"{name}: {key}": str(redacted({key: container[key]})[key]) for key in rest & set(container)}
    metadata = template.get("metadata") or {}
    found |= {f"annotation {key}": value for key, value in redacted(metadata.get("annotations") or {}).items()}
    labels = metadata.get("labels") or {}
    return found | {f"label {key}": value for key, value in labels.items() if key not in IGNORED_LABELS}
