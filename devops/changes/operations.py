"""What can be done to a live object. Each operation turns it into the one object that is to be sent."""

import copy
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from common.errors import Conflict, InvalidInput, NotFound
from devops.changes.cloud_operations import CloudOperation
from devops.ports import Manifest

IMAGE = (
    r"^[a-z0-9][a-z0-9._-]*(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][\w.-]{0,127})?(@sha256:[a-f0-9]{64})?$"
)
"""Registry, path, tag, digest: no leading dash, no blank, no scheme."""
RESTARTED = "kubectl.kubernetes.io/restartedAt"
REVISION = "deployment.kubernetes.io/revision"
HALTED = "triptych/halted"
"""Annotation of a Deployment whose rollout was halted here. What leads out of the trouble lets it go on."""


class _Operation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scale(_Operation):
    """Run this many replicas."""

    tool: Literal["scale_workload"] = "scale_workload"
    replicas: Annotated[int, Field(ge=0, le=500)]

    def edited(self, live: Manifest) -> Manifest:
        """See edit."""
        if live["kind"] == "DaemonSet":
            raise InvalidInput(
                "A DaemonSet runs one pod on each node: it cannot be scaled.", "Change its node selector."
            )
        changed = copy.deepcopy(live)
        changed["spec"]["replicas"] = self.replicas
        return changed


class Restart(_Operation):
    """Replace all pods, a few at a time. `at` is fixed by the plan, so that the dry run shows what will be."""

    tool: Literal["restart_workload"] = "restart_workload"
    at: str

    def edited(self, live: Manifest) -> Manifest:
        """See edit."""
        changed = copy.deepcopy(live)
        metadata = changed["spec"]["template"].setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), RESTARTED: self.at}
        return changed


class SetImage(_Operation):
    """Run another image in one container."""

    tool: Literal["set_image"] = "set_image"
    container: str
    image: Annotated[str, Field(pattern=IMAGE, max_length=512)]

    def edited(self, live: Manifest) -> Manifest:
        """See edit."""
        changed = copy.deepcopy(live)
        containers = changed["spec"]["template"]["spec"]["containers"]
        for container in containers:
            if container["name"] == self.container:
                container["image"] = self.image
                return _going_on(changed)
        names = ", ".join(sorted(container["name"] for container in containers))
        raise NotFound(f"There is no container {self.container}.", f"There is: {names}.")


class Rollback(_Operation):
    """Back to the pod template of an earlier revision. The plan names it, so that it stays the same one."""

    tool: Literal["rollback_workload"] = "rollback_workload"
    revision: Annotated[int, Field(ge=0)]

    def edited(self, live: Manifest, replica_sets: list[Manifest]) -> Manifest:
        """See edit."""
        changed = copy.deepcopy(live)
        found = {revision_of(each): each for each in replica_sets if _owns(live, each)}
        if self.revision not in found:
            known = ", ".join(map(str, sorted(found))) or "none"
            raise NotFound(f"There is no revision {self.revision}.", f"There is: {known}.")
        template = copy.deepcopy(found[self.revision]["spec"]["template"])
        (template.get("metadata", {}).get("labels") or {}).pop("pod-template-hash", None)
        changed["spec"]["template"] = template
        return _going_on(changed)


class Cordon(_Operation):
    """Let no new pods onto a node, or let them on again."""

    tool: Literal["cordon_node"] = "cordon_node"
    cordoned: bool = True

    def edited(self, live: Manifest) -> Manifest:
        """See edit."""
        changed = copy.deepcopy(live)
        changed["spec"].pop("unschedulable", None)
        if self.cordoned:
            changed["spec"]["unschedulable"] = True
        return changed


class Drain(_Operation):
    """Cordon a node and evict its pods, as their disruption budgets allow."""

    tool: Literal["drain_node"] = "drain_node"

    def edited(self, live: Manifest) -> Manifest:
        """See edit."""
        return Cordon().edited(live)


class Apply(_Operation):
    """Server-side apply of a manifest that has been checked (see applying.py)."""

    tool: Literal["apply_manifest"] = "apply_manifest"
    manifest: dict[str, Any]


class Delete(_Operation):
    """Delete an object with what it owns."""

    tool: Literal["delete_resource"] = "delete_resource"


Edit: TypeAlias = Scale | Restart | SetImage | Cordon | Drain | CloudOperation
Operation: TypeAlias = Annotated[Edit | Rollback | Apply | Delete, Field(discriminator="tool")]
_ADAPTER: TypeAdapter[Operation] = TypeAdapter(Operation)


def operation_from(stored: Any) -> Operation:
    """The operation of a stored change."""
    return _ADAPTER.validate_python(stored)


def revision_of(replica_set: Manifest) -> int:
    """Which revision of its Deployment this is; 0 if it is none."""
    text = str((replica_set["metadata"].get("annotations") or {}).get(REVISION, "0"))
    return int(text) if text.isdecimal() else 0


def previous_revision(live: Manifest, replica_sets: list[Manifest]) -> int:
    """The newest revision before the current one. Raises Conflict."""
    current = revision_of(live)
    earlier = [number for each in replica_sets if _owns(live, each) and 0 < (number := revision_of(each)) < current]
    if not earlier:
        raise Conflict("There is no earlier revision to go back to.", "Use set_image with the image that worked.")
    return max(earlier)


def _going_on(changed: Manifest) -> Manifest:
    annotations = changed["metadata"].get("annotations") or {}
    if annotations.pop(HALTED, None) is not None:
        changed["spec"].pop("paused", None)
    return changed


def _owns(live: Manifest, other: Manifest) -> bool:
    return any(owner.get("uid") == live["metadata"]["uid"] for owner in other["metadata"].get("ownerReferences") or ())
