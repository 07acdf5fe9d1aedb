"""Which manifests may be applied: known kinds, no more power than the Pod Security Standard `baseline`, one object."""

from collections.abc import Iterator
from typing import Any

from common.errors import Denied, InvalidInput
from devops.kinds import (
    AUTOSCALER,
    BUDGET,
    CONFIG_MAP,
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    INGRESS,
    JOB,
    KINDS,
    POD,
    SERVICE,
    STATEFUL_SET,
    Kind,
)
from devops.ports import Manifest

APPLICABLE = {
    kind.name: kind
    for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB, CRON_JOB, SERVICE, CONFIG_MAP, INGRESS, AUTOSCALER, BUDGET)
}
DELETABLE = {**APPLICABLE, POD.name: POD}
METADATA = frozenset({"name", "namespace", "labels", "annotations"})
BASELINE_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID "
    "SYS_CHROOT".split()
)
MAX_DEPTH = 32


def checked_manifest(manifest: Manifest) -> tuple[Kind, Manifest]:
    """Its kind, and the manifest as it may be sent. Raises InvalidInput or Denied."""
    kind = _kind(manifest)
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise InvalidInput("The manifest has no metadata.name.", "Give one object with a name and a namespace.")
    unexpected = sorted(set(metadata) - METADATA)
    if unexpected or "status" in manifest:
        names = ", ".join(unexpected or ["status"])
        raise InvalidInput(f"The manifest may not set: {names}.", f"Give only {', '.join(sorted(METADATA))} there.")
    _refuse_dangers(manifest)
    return kind, manifest


def _kind(manifest: Manifest) -> Kind:
    name, version = manifest.get("kind"), manifest.get("apiVersion")
    kind = APPLICABLE.get(name) if isinstance(name, str) else None
    if kind is None or version != kind.api_version:
        known = ", ".join(f"{each.name} ({each.api_version})" for each in APPLICABLE.values())
        raise Denied("Objects of this kind are not applied.", f"These are: {known}. For all else ask an administrator.")
    return kind


def deletable(kind: str) -> Kind:
    """The kind, if its objects may be deleted. Raises Denied."""
    if kind not in DELETABLE:
        raise Denied(
            f"Objects of kind {kind if kind in KINDS else 'that name'} are not deleted.", "Ask an administrator."
        )
    return DELETABLE[kind]


def _refuse_dangers(manifest: Manifest) -> None:
    for path, key, value in _walk(manifest, "", 0):
        if key in ("hostNetwork", "hostPID", "hostIPC", "privileged") and value not in (False, None):
            raise Denied(f"{path} gives pods power over their node.", "Leave it out, or ask an administrator.")
        if key in ("hostPath", "hostPort") and value:
            raise Denied(f"{path} reaches into the node.", "Leave it out, or ask an administrator.")
        if key == "add" and "capabilities" in path and not set(value or ()) <= BASELINE_CAPABILITIES:
            raise Denied(f"{path} adds capabilities that are not in the baseline.", "Leave them out.")
        if key in ("matchLabels", "selector") and value == {}:
            raise Denied(f"{path} selects everything.", "Name labels.")


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, str, Any]]:
    if depth > MAX_DEPTH:
        raise InvalidInput("The manifest is nested too deeply.", "Give one plain object.")
    if isinstance(value, dict):
        for key, item in value.items():
            # Data of a ConfigMap is text, whatever its keys are called.
            if not (depth == 0 and key in ("data", "binaryData", "metadata")):
                yield f"{path}.{key}".lstrip("."), str(key), item
                yield from _walk(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk(item, f"{path}[{number}]", depth + 1)
