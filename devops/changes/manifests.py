"""Live objects as changes see them: what matters in them, and how two of them differ."""

import copy
import difflib
import json
from typing import Any

from common.security.untrusted import untrusted
from devops.changes.digest import digest_of
from devops.changes.shown import CUT, Shown
from devops.ports import Manifest

MARK = "triptych/change"
"""Annotation that names the last change of an object, by which a crash is found out."""
MAX_DIFF = 24_000
"""Two values of the greatest length that is shown have room."""
_SERVER_FIELDS = frozenset(
    {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "deletionTimestamp"}
)
_CONTROLLER_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_CONTROLLER_NOTES = frozenset(
    {
        MARK,
        "deployment.kubernetes.io/revision",
        "kubectl.kubernetes.io/last-applied-configuration",
    }
)


def essence(manifest: Manifest | None) -> Manifest:
    """What somebody wanted of this object, without what the server and its controllers write beside."""
    if manifest is None:
        return {}
    if manifest.get("kind") == "Node":
        return _node(manifest)
    kept = {key: value for key, value in manifest.items() if key not in ("status", "metadata", "apiVersion", "kind")}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVER_FIELDS}
    notes = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in _CONTROLLER_NOTES}
    metadata.pop("annotations", None)
    return {"metadata": {**metadata, **({"annotations": notes} if notes else {})}, **kept}


def _node(manifest: Manifest) -> Manifest:
    """Kubelets, network and cloud controllers write all over a node; this is what people decide."""
    spec = manifest.get("spec") or {}
    taints = [taint for taint in spec.get("taints") or () if not str(taint["key"]).startswith(_CONTROLLER_TAINTS)]
    labels = manifest["metadata"].get("labels") or {}
    wanted = {"unschedulable": bool(spec.get("unschedulable")), "taints": taints}
    return {"metadata": {"name": manifest["metadata"]["name"], "labels": labels}, "spec": wanted}


def fingerprint(manifest: Manifest | None, context: Any = None) -> str:
    """Changes when something that matters does; a new status alone is no drift."""
    return digest_of([essence(manifest), context])


def marked(manifest: Manifest, change_id: str) -> Manifest:
    """A copy that names the change."""
    copied = copy.deepcopy(manifest)
    annotations = copied["metadata"].get("annotations") or {}
    copied["metadata"]["annotations"] = {**annotations, MARK: change_id}
    return copied


def mark_of(manifest: Manifest | None) -> str | None:
    """The change that touched it last."""
    annotations = ((manifest or {}).get("metadata") or {}).get("annotations") or {}
    mark = annotations.get(MARK)
    return mark if isinstance(mark, str) else None


def diff(before: Manifest | None, after: Manifest | None) -> str:
    """Line by line, without secrets, and cleaned of what could deceive its reader. `is_whole` knows if it was cut."""
    shown = Shown()
    changed = difflib.unified_diff(_lines(before, shown), _lines(after, shown), "live", "planned", lineterm="", n=2)
    text = untrusted("\n".join(changed), MAX_DIFF)
    return text.text + (f"\n... {CUT}" if text.truncated else "")


def _lines(manifest: Manifest | None, shown: Shown) -> list[str]:
    if manifest is None:
        return []
    # As JSON, one line of a value a line: it cannot break out of its line and look like another one.
    return json.dumps(shown.object(essence(manifest)), indent=1, sort_keys=True).splitlines()
