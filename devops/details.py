"""One workload or one pod, with all that belongs to it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import NotFound
from common.security.principal import Principal
from devops.access import Clusters
from devops.kinds import CONFIG_MAP, DEPLOYMENT, KINDS, POD, REPLICA_SET, WORKLOADS, Kind
from devops.names import not_found
from devops.paging import pages_of
from devops.ports import Cluster, Manifest, Query
from devops.revisions import Revision, revisions_of
from devops.views import config_maps_of, redacted

MAX_CONFIG_MAPS = 10
MAX_REVISIONS = 20
MAX_PAGES = 5
"""Of a hundred ReplicaSets; more than one has who keeps a long history, or shares labels."""


@dataclass(frozen=True)
class Workload:
    """A workload with its revisions."""

    cluster: Cluster
    kind: Kind
    item: Manifest
    replica_sets: Sequence[Manifest] = ()
    config: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return str(self.item["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])

    @property
    def labels(self) -> dict[str, str]:
        """What its pods are selected by."""
        return dict(self.item["spec"]["selector"].get("matchLabels") or {})

    @property
    def revisions(self) -> list[Revision]:
        return revisions_of(self.replica_sets)[:MAX_REVISIONS]


@dataclass(frozen=True)
class Pod:
    """A pod, and the names of what owns it, nearest first."""

    cluster: Cluster
    item: Manifest
    owners: list[str]


def controller_of(item: Manifest) -> dict[str, Any] | None:
    """The reference to what manages the object."""
    return next((r for r in item["metadata"].get("ownerReferences") or [] if r.get("controller")), None)


class Details:
    """Looks single things up."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def find(
        self, principal: Principal, cluster_name: str | None, namespace: str, name: str, kind: str | None
    ) -> Workload:
        """The workload of that name; without a kind, of any. Raises NotFound that names the nearest."""
        cluster = self._clusters.named(cluster_name)
        if kind is not None:
            item = await self._clusters.get(cluster, principal, KINDS[kind], namespace, name)
            return Workload(cluster, KINDS[kind], item)
        await self._clusters.check_namespace(cluster, principal, namespace)
        for candidate in WORKLOADS:
            try:
                return Workload(cluster, candidate, await cluster.get(candidate, namespace, name))
            except NotFound:
                continue
        tables = [await cluster.table(one, Query(namespace, limit=500)) for one in WORKLOADS]
        raise not_found("workload", name, [row.name for rows in tables for row in rows.items], f" in {namespace}")

    async def workload(
        self, principal: Principal, cluster: str | None, namespace: str, name: str, kind: str | None
    ) -> Workload:
        """With revisions and the config maps that it uses, redacted."""
        found = await self.find(principal, cluster, namespace, name, kind)
        names = config_maps_of(found.item["spec"]["template"]["spec"])[:MAX_CONFIG_MAPS]
        replica_sets, maps = await asyncio.gather(
            self.replica_sets(found),
            asyncio.gather(*(self._config_map(found.cluster, namespace, one) for one in names)),
        )
        return Workload(found.cluster, found.kind, found.item, replica_sets, dict(zip(names, maps, strict=True)))

    async def replica_sets(self, workload: Workload) -> Sequence[Manifest]:
        """Those of a Deployment; others have none."""
        if workload.kind is not DEPLOYMENT:
            return []
        query = Query(workload.namespace, workload.labels, limit=100)
        uid, found = workload.item["metadata"]["uid"], list[Manifest]()
        async for items, _ in pages_of(workload.cluster, REPLICA_SET, query, MAX_PAGES):
            found += [item for item in items if (owner := controller_of(item)) and owner["uid"] == uid]
        return found

    async def _config_map(self, cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
        try:
            return redacted((await cluster.get(CONFIG_MAP, namespace, name)).get("data") or {})
        except NotFound:
            return {"(missing)": "there is no such config map"}

    async def pod(self, principal: Principal, cluster_name: str | None, namespace: str, name: str) -> Pod:
        """With its owners."""
        cluster = self._clusters.named(cluster_name)
        item = await self._clusters.get(cluster, principal, POD, namespace, name)
        return Pod(cluster, item, await self._owners(cluster, namespace, item))

    async def _owners(self, cluster: Cluster, namespace: str, item: Manifest) -> list[str]:
        owners: list[str] = []
        reference = controller_of(item)
        while reference is not None:
            owners.append(f"{reference['kind']}/{reference['name']}")
            if reference["kind"] != REPLICA_SET.name:
                break
            reference = controller_of(await cluster.get(REPLICA_SET, namespace, reference["name"]))
        return owners
