"""The objects of the simulated cluster, and the API server's rules for writing them."""

import copy
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from common.errors import Conflict, InvalidInput, NotFound
from devops.kinds import KINDS, Kind
from devops.ports import Manifest

Clock = Callable[[], float]
READ_ONLY = ("uid", "creationTimestamp", "generation", "resourceVersion")
KEPT_STATUS = frozenset({"Node"})
"""Kinds whose status nobody but the seed decides."""


def rfc3339(seconds: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(moment: str) -> float:
    """The other way round."""
    return datetime.fromisoformat(moment).timestamp()


def short_hash(*parts: Any, length: int = 10) -> str:
    """Stands for where Kubernetes takes random or hashed letters; deterministic here."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:length]


class State:
    """Objects by kind, namespace and name. Not thread-safe; a failed write leaves it half done: throw it away."""

    def __init__(self, clock: Clock, document: Mapping[str, Any] | None = None) -> None:
        document = document or {"version": 0, "objects": {}}
        self.clock = clock
        self.version: int = document["version"]
        self.objects: dict[str, Manifest] = document["objects"]

    @property
    def document(self) -> dict[str, Any]:
        """What is kept, as JSON."""
        return {"version": self.version, "objects": self.objects}

    @property
    def now(self) -> str:
        return rfc3339(self.clock())

    def fork(self) -> "State":
        """A copy on which something can be tried."""
        return State(self.clock, copy.deepcopy(self.document))

    @staticmethod
    def key(kind: Kind, namespace: str | None, name: str) -> str:
        return f"{kind.name}/{namespace or ''}/{name}"

    def find(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        return self.objects.get(self.key(kind, namespace, name))

    def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest:
        """Raises NotFound."""
        if (found := self.find(kind, namespace, name)) is None:
            raise NotFound(f"There is no {kind.name} {name}{f' in {namespace}' if namespace else ''}.")
        return found

    def all(self, kind: Kind, namespace: str | None = None) -> Iterator[Manifest]:
        """In the order of their names, as the API lists them."""
        prefix = f"{kind.name}/" if namespace is None else f"{kind.name}/{namespace}/"
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            yield self.objects[key]

    def owned(self, kind: Kind, owner: Manifest) -> Iterator[Manifest]:
        """What the owner controls."""
        uid = owner["metadata"]["uid"]
        for item in self.all(kind, owner["metadata"].get("namespace", "")):
            if any(reference["uid"] == uid for reference in item["metadata"].get("ownerReferences", [])):
                yield item

    def put(self, kind: Kind, item: Manifest) -> bool:
        """Keep a manifest as it is, with a new resourceVersion; False if nothing is new in it."""
        metadata = item["metadata"]
        key = self.key(kind, metadata.get("namespace"), metadata["name"])
        before = self.objects.get(key)
        if before is not None:
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
            if before == item:
                return False
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        self.objects[key] = item
        return True

    def create(self, item: Manifest) -> Manifest:
        """Raises Conflict if it is there, InvalidInput for what is no object of a known kind."""
        kind, item = _kind(item), copy.deepcopy(item)
        metadata = item["metadata"]
        if not kind.namespaced:
            metadata.pop("namespace", None)
        elif self.find(KINDS["Namespace"], None, metadata.setdefault("namespace", "default")) is None:
            raise NotFound(f"There is no Namespace {metadata['namespace']}.")
        if self.find(kind, metadata.get("namespace"), metadata["name"]) is not None:
            raise Conflict(f"{kind.name} {metadata['name']} exists already.")
        identity = f"{self.key(kind, metadata.get('namespace'), metadata['name'])}/{self.version}"
        metadata.update(uid=str(uuid.uuid5(uuid.NAMESPACE_URL, identity)), creationTimestamp=self.now, generation=1)
        if kind.name not in KEPT_STATUS:
            item.pop("status", None)
        self.put(kind, item)
        return item

    def replace(self, item: Manifest) -> Manifest:
        """PUT. A resourceVersion or uid in it is a precondition: raises Conflict, NotFound."""
        kind, item = _kind(item), copy.deepcopy(item)
        metadata = item["metadata"]
        before = self.get(kind, metadata.get("namespace"), metadata["name"])
        check_precondition(before, metadata.get("resourceVersion"), metadata.get("uid"))
        metadata.update({field: before["metadata"][field] for field in READ_ONLY})
        metadata["generation"] += int(item.get("spec") != before.get("spec"))
        if "status" in before:
            item["status"] = copy.deepcopy(before["status"])
        else:
            item.pop("status", None)
        self.put(kind, item)
        return item

    def delete(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Raises NotFound. What the object owns is collected by the controllers."""
        self.get(kind, namespace, name)
        self.version += 1
        del self.objects[self.key(kind, namespace, name)]
        if kind.name == "Namespace":
            for key in [key for key in self.objects if key.split("/")[1] == name]:
                del self.objects[key]


def _kind(item: Manifest) -> Kind:
    kind = KINDS.get(str(item.get("kind")))
    if kind is None or item.get("apiVersion") != kind.api_version or not item.get("metadata", {}).get("name"):
        raise InvalidInput(f"No object of a known kind: {item.get('apiVersion')} {item.get('kind')}.")
    return kind


def check_precondition(live: Manifest, resource_version: str | None, uid: str | None) -> None:
    """Raises Conflict as the API's 409 does."""
    metadata = live["metadata"]
    if resource_version is not None and resource_version != metadata["resourceVersion"]:
        raise Conflict(f"{live['kind']} {metadata['name']} was changed in between.", "Read it again, then decide.")
    if uid is not None and uid != metadata["uid"]:
        raise Conflict(f"{live['kind']} {metadata['name']} is another object by now.", "Read it again, then decide.")


def merge_patch(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386); gives a new value."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def apply_merge(live: Any, wanted: Any) -> Any:
    """What server-side apply makes of one manager's wishes: lists of named things are merged by name."""
    if isinstance(wanted, Mapping):
        base = dict(live) if isinstance(live, Mapping) else {}
        return {**base, **{key: apply_merge(base.get(key), value) for key, value in wanted.items()}}
    named = isinstance(wanted, list) and all(isinstance(item, Mapping) and "name" in item for item in wanted)
    if not named or not isinstance(live, list):
        return copy.deepcopy(wanted)
    by_name = {item["name"]: item for item in live if isinstance(item, Mapping) and "name" in item}
    for item in wanted:
        by_name[item["name"]] = apply_merge(by_name.get(item["name"]), item)
    return list(by_name.values())
