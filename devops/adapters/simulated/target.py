"""The writing half of the simulated cluster, as changes need it."""

from collections.abc import Mapping, Sequence

from common.errors import NotFound
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.kinds import Kind
from devops.ports import Manifest, Query

MAX_RELATED = 10_000


class SimulatedTarget:
    """Implements ChangeTarget."""

    simulated = True

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.name = cluster.name
        self._cluster = cluster
        self.create = cluster.create
        self.replace = cluster.replace
        self.apply = cluster.apply
        self.delete = cluster.delete
        self.evict = cluster.evict

    async def read(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """See ChangeTarget."""
        try:
            return await self._cluster.get(kind, namespace, name)
        except NotFound:
            return None

    async def related(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Sequence[Manifest]:
        """See ChangeTarget."""
        query = Query(namespace, labels or {}, fields or {}, limit=MAX_RELATED)
        return (await self._cluster.objects(kind, query)).items
