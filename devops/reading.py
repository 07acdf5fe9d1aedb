"""Lists of what runs in a cluster, page by page. Memory is bounded by the page."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.errors import Denied, Unavailable
from common.security.principal import Principal
from devops.access import Clusters
from devops.cursors import Cursors
from devops.kinds import NODE, POD, WORKLOADS, Kind
from devops.ports import Cluster, Manifest, Query, Row, Usage

MAX_PAGES = 20
"""Pages that one call looks through for what is unhealthy."""


@dataclass(frozen=True)
class Page:
    """Rows with their kind, and where the next page begins."""

    cluster: Cluster
    items: Sequence[tuple[Kind, Row]]
    next_cursor: str | None


def is_healthy(kind: Kind, row: Row) -> bool:
    """By what the table says: all replicas are ready, the pod serves or is done."""
    cells = row.cells
    if kind is POD and cells.get("status") in ("Completed", "Succeeded"):
        return True
    if kind is POD and cells.get("status") != "Running":
        return False
    if "desired" in cells:
        return bool(cells["desired"] == cells["ready"])
    ready, _, wanted = str(cells.get("ready", "")).partition("/")
    return ready == wanted and int(cells.get("up-to-date", wanted or 0)) >= int(wanted or 0)


class Reading:
    """The lists."""

    def __init__(self, clusters: Clusters, cursors: Cursors) -> None:
        self.clusters = clusters
        self._cursors = cursors

    async def page(
        self,
        principal: Principal,
        kinds: Sequence[Kind],
        cluster_name: str | None,
        namespace: str | None,
        labels: Mapping[str, str],
        fields: Mapping[str, str],
        unhealthy: bool,
        limit: int,
        cursor: str | None,
    ) -> Page:
        """Objects of these kinds, one kind after the other."""
        cluster = self.clusters.named(cluster_name)
        query = await self.clusters.query(cluster, principal, namespace, labels, fields, limit)
        question = [
            [kind.name for kind in kinds],
            [cluster.name, namespace, sorted(labels.items()), sorted(fields.items()), sorted(query.hidden), unhealthy],
            [principal.tenant, principal.subject],
        ]
        index, token = self._cursors.open(cursor, question) if cursor else (0, None)
        found: list[tuple[Kind, Row]] = []
        for _ in range(MAX_PAGES):
            rows = await cluster.table(kinds[index], replace(query, limit=limit - len(found), token=token))
            found += self._kept(principal, cluster, kinds[index], rows.items, query, unhealthy)
            token = rows.token
            index += token is None
            if index == len(kinds) or len(found) >= limit:
                break
        rest = None if index == len(kinds) else self._cursors.seal([index, token], question)
        return Page(cluster, found, rest)

    def _kept(
        self, principal: Principal, cluster: Cluster, kind: Kind, rows: Sequence[Row], query: Query, unhealthy: bool
    ) -> list[tuple[Kind, Row]]:
        # The question leaves hidden namespaces out; one that was made since it was asked is left out here.
        return [
            (kind, row)
            for row in rows
            if (query.namespace or self.clusters.sees(principal, cluster, row.namespace))
            and not (unhealthy and is_healthy(kind, row))
        ]

    async def workloads(
        self,
        principal: Principal,
        cluster: str | None,
        namespace: str | None,
        kind: str | None,
        labels: Mapping[str, str],
        unhealthy: bool,
        limit: int,
        cursor: str | None,
    ) -> Page:
        """Deployments, StatefulSets and DaemonSets."""
        kinds = [one for one in WORKLOADS if kind in (None, one.name)]
        return await self.page(principal, kinds, cluster, namespace, labels, {}, unhealthy, limit, cursor)

    async def pods(
        self,
        principal: Principal,
        cluster: str | None,
        namespace: str | None,
        labels: Mapping[str, str],
        node: str | None,
        unhealthy: bool,
        limit: int,
        cursor: str | None,
    ) -> Page:
        """Pods, of all or of one node."""
        fields = {"spec.nodeName": node} if node else {}
        return await self.page(principal, [POD], cluster, namespace, labels, fields, unhealthy, limit, cursor)

    async def nodes(
        self, principal: Principal, cluster_name: str | None, limit: int, cursor: str | None
    ) -> tuple[Cluster, Sequence[Manifest], Mapping[str, Usage], str | None]:
        """Nodes with what they use, where metrics are served."""
        cluster = self.clusters.named(cluster_name)
        await self.clusters.check_cluster(cluster, principal)
        question = ["nodes", cluster.name]
        token = self._cursors.open(cursor, question) if cursor else None
        page = await cluster.objects(NODE, Query(limit=limit, token=token))
        usage: Mapping[str, Usage] = {}
        with contextlib.suppress(Unavailable, Denied):
            usage = {one.name: one for one in await cluster.node_usage()}
        return cluster, page.items, usage, self._cursors.seal(page.token, question) if page.token else None
