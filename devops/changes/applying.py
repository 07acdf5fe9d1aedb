"""Which manifests may be applied: known kinds, no more power than the Pod Security Standard `baseline`, one object."""

from common.errors import Denied, InvalidInput
from devops.changes.baseline import check_baseline, fields
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
from devops.names import NAME_PATTERN, NAMESPACE_PATTERN, matches
from devops.ports import Manifest

APPLICABLE = {
    kind.name: kind
    for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB, CRON_JOB, SERVICE, CONFIG_MAP, INGRESS, AUTOSCALER, BUDGET)
}
DELETABLE = {**APPLICABLE, POD.name: POD}
METADATA = frozenset({"name", "namespace", "labels", "annotations"})


def checked_manifest(manifest: Manifest) -> tuple[Kind, Manifest]:
    """Its kind, and the manifest as it may be sent. Raises InvalidInput or Denied."""
    kind = _kind(manifest)
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise InvalidInput("The manifest has no metadata.name.", "Give one object with a name and a namespace.")
    _check_names(metadata)
    unexpected = sorted(set(metadata) - METADATA)
    if unexpected or "status" in manifest:
        names = ", ".join(unexpected or ["status"])
        raise InvalidInput(f"The manifest may not set: {names}.", f"Give only {', '.join(sorted(METADATA))} there.")
    _refuse_dangers(manifest)
    return kind, manifest


def _check_names(metadata: Manifest) -> None:
    """They become parts of a path. A namespace that is missing is asked for later."""
    for field, pattern in (("name", NAME_PATTERN), ("namespace", NAMESPACE_PATTERN)):
        value = metadata.get(field)
        if value is not None and not (isinstance(value, str) and matches(pattern, value)):
            raise InvalidInput(f"metadata.{field} is no name of Kubernetes.", "Use lower case letters, digits and -.")


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
    for path, parent, key, value in fields(manifest):
        check_baseline(path, parent, key, value)
        if key in ("matchLabels", "selector") and value == {}:
            raise Denied(f"{path} selects everything.", "Name labels.")
