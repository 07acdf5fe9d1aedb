"""The clusters, through the eyes of one caller."""

import time
from collections.abc import Mapping, Sequence

from common.errors import InvalidInput, NotFound
from common.security.principal import Principal
from devops.kinds import NAMESPACE, Kind
from devops.names import check_labels, not_found
from devops.ports import Cluster, Manifest, Query
from devops.scope import NamespaceScope

NAMES_SECONDS = 5.0
"""How long the list of a cluster's namespaces may be old; who sees which is decided anew for each call."""
MAX_HIDDEN = 100
MAX_NEAR = 500
"""Names that are looked at to find the nearest one."""


class Clusters:
    """Finds clusters and objects for a caller. What the caller may not see does not exist."""

    def __init__(self, clusters: Sequence[Cluster], scope: NamespaceScope) -> None:
        self._clusters = {cluster.name: cluster for cluster in clusters}
        self._scope = scope
        self._names: dict[str, tuple[float, frozenset[str]]] = {}

    @property
    def names(self) -> list[str]:
        """Of all clusters, the first one first."""
        return list(self._clusters)

    def named(self, name: str | None) -> Cluster:
        """The cluster of that name, or the first one. Raises NotFound."""
        if name is None:
            return next(iter(self._clusters.values()))
        if name not in self._clusters:
            raise not_found("cluster", name, self._clusters)
        return self._clusters[name]

    async def _namespaces(self, cluster: Cluster, fresh: bool = False) -> frozenset[str]:
        until, names = self._names.get(cluster.name, (0.0, frozenset[str]()))
        if fresh or time.monotonic() > until:
            found: list[str] = []
            token: str | None = None
            while True:
                page = await cluster.table(NAMESPACE, Query(limit=500, token=token))
                found += [row.name for row in page.items]
                if (token := page.token) is None:
                    break
            names = frozenset(found)
            self._names[cluster.name] = (time.monotonic() + NAMES_SECONDS, names)
        return names

    async def query(
        self,
        cluster: Cluster,
        principal: Principal,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        limit: int = 100,
    ) -> Query:
        """The question that stays within what the caller sees. Raises NotFound, InvalidInput."""
        labels, fields = check_labels(labels or {}), fields or {}
        if namespace is not None:
            await self.check_namespace(cluster, principal, namespace)
            return Query(namespace, labels, fields, limit=limit)
        names = await self._namespaces(cluster, fresh=True)
        hidden = frozenset(name for name in names if not self._scope.sees(principal, cluster.name, name))
        if hidden == names:
            raise NotFound("There is no namespace that you may see.", "Ask the operator: DEVOPS_NAMESPACE_GROUPS.")
        if len(hidden) > MAX_HIDDEN:
            seen = ", ".join(sorted(names - hidden)[:10])
            raise InvalidInput("There are too many namespaces to ask for all at once.", f"Name one, such as: {seen}.")
        return Query(None, labels, fields, hidden, limit)

    async def check_cluster(self, cluster: Cluster, principal: Principal) -> None:
        """For what is in no namespace, such as nodes. Raises NotFound for those who see no namespace either."""
        names = await self._namespaces(cluster)
        if not any(self._scope.sees(principal, cluster.name, name) for name in names):
            raise NotFound("There is no namespace that you may see.", "Ask the operator: DEVOPS_NAMESPACE_GROUPS.")

    async def check_namespace(self, cluster: Cluster, principal: Principal, namespace: str) -> None:
        """Raises NotFound alike for a namespace that is not there and one that the caller may not see."""
        names = await self._namespaces(cluster)
        if namespace not in names:
            names = await self._namespaces(cluster, fresh=True)
        if namespace not in names or not self._scope.sees(principal, cluster.name, namespace):
            visible = [name for name in names if self._scope.sees(principal, cluster.name, name)]
            raise not_found("namespace", namespace, visible)

    async def visible(self, cluster: Cluster, principal: Principal) -> list[str]:
        """Names of the namespaces that the caller sees, in order."""
        names = await self._namespaces(cluster)
        return sorted(name for name in names if self._scope.sees(principal, cluster.name, name))

    def sees(self, principal: Principal, cluster: Cluster, namespace: str) -> bool:
        """Guards rows that came from a question over all namespaces."""
        return self._scope.sees(principal, cluster.name, namespace)

    async def get(self, cluster: Cluster, principal: Principal, kind: Kind, namespace: str, name: str) -> Manifest:
        """One object; raises NotFound that names the nearest ones."""
        await self.check_namespace(cluster, principal, namespace)
        try:
            return await cluster.get(kind, namespace, name)
        except NotFound:
            rows = await cluster.table(kind, Query(namespace, limit=MAX_NEAR))
            known = [row.name for row in rows.items]
            raise not_found(kind.name, name, known, f" in {namespace}") from None
