"""The writing half of a real cluster, as changes need it: whole objects, unredacted, that never leave the use case."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import Conflict, NotFound
from common.resilience.deadline import remaining
from devops.adapters.kubernetes_api import JSON, MAX_REASON, KubernetesApi
from devops.kinds import KINDS, POD, Kind
from devops.ports import Manifest

MANAGER = "triptych"
APPLY = "application/apply-patch+yaml"
PAGE = 500
SERVER_SECONDS = 10.0
"""After which the API server itself gives a write up, so that none happens long after its caller has."""


class KubernetesTarget:
    """Implements ChangeTarget."""

    simulated = False

    def __init__(self, name: str, api: KubernetesApi) -> None:
        self.name = name
        self._api = api

    async def read(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """See ChangeTarget."""
        try:
            item: Manifest = json.loads(await self._api.get(kind.path(namespace, name)))
        except NotFound:
            return None
        return item

    async def related(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Sequence[Manifest]:
        """See ChangeTarget."""
        params = [("limit", str(PAGE))]
        for name, wanted in (("labelSelector", labels), ("fieldSelector", fields)):
            if wanted:
                params.append((name, ",".join(f"{key}={value}" for key, value in wanted.items())))
        items: list[Manifest] = []
        token: str | None = ""
        while token is not None:
            more = [("continue", token)] if token else []
            page = json.loads(await self._api.get(kind.path(namespace), [*params, *more]))
            items += page["items"]
            token = page["metadata"].get("continue") or None
        return items

    async def create(self, item: Manifest, dry_run: bool) -> Manifest:
        """See ChangeTarget."""
        path = KINDS[item["kind"]].path(item["metadata"].get("namespace"))
        return await self._write("POST", path, item, dry_run)

    async def replace(self, item: Manifest, dry_run: bool) -> Manifest:
        """See ChangeTarget."""
        return await self._write("PUT", _path(item), item, dry_run)

    async def apply(self, item: Manifest, dry_run: bool) -> Manifest:
        """See ChangeTarget."""
        try:
            return await self._write("PATCH", _path(item), item, dry_run, APPLY)
        except Conflict as conflict:
            if not _with_ourselves(conflict):
                raise
        # The fields are ours, from a create or a replace; uid and resourceVersion still are the precondition.
        return await self._write("PATCH", _path(item), item, dry_run, APPLY, [("force", "true")])

    async def delete(
        self, kind: Kind, namespace: str | None, name: str, resource_version: str, uid: str, dry_run: bool
    ) -> None:
        """See ChangeTarget."""
        conditions = {"uid": uid, "resourceVersion": resource_version}
        body = {"propagationPolicy": "Background", **_options(conditions, dry_run)}
        await self._api.request("DELETE", kind.path(namespace, name), _params(dry_run)[1:], body)

    async def evict(self, namespace: str, pod: str, uid: str, dry_run: bool) -> None:
        """See ChangeTarget."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
            "deleteOptions": _options({"uid": uid}, dry_run),
        }
        await self._api.request("POST", f"{POD.path(namespace, pod)}/eviction", _params(dry_run), body)

    async def _write(
        self,
        method: str,
        path: str,
        body: Manifest,
        dry_run: bool,
        content_type: str = JSON,
        more: Sequence[tuple[str, str]] = (),
    ) -> Manifest:
        answer = await self._api.request(method, path, [*_params(dry_run), *more], body, content_type)
        written: Manifest = json.loads(answer)
        return written


def _path(item: Manifest) -> str:
    metadata = item["metadata"]
    return KINDS[item["kind"]].path(metadata.get("namespace"), metadata["name"])


def _with_ourselves(conflict: Conflict) -> bool:
    """Whether server-side apply refused only because of fields that this server wrote in another way."""
    managers = re.findall(r'conflicts? with "([^"]+)"', conflict.message)
    return bool(managers) and set(managers) == {MANAGER} and len(conflict.message) < MAX_REASON


def _params(dry_run: bool) -> list[tuple[str, str]]:
    seconds = max(1, round(remaining(SERVER_SECONDS)))
    params = [("fieldManager", MANAGER), ("timeout", f"{seconds}s")]
    return [*params, ("dryRun", "All")] if dry_run else params


def _options(conditions: Mapping[str, str], dry_run: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
    return {**options, "dryRun": ["All"]} if dry_run else options
