"""The one place that reads settings and wires adapters into use cases."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from common.security.signing import SigningKey
from common.settings import CommonSettings
from devops.access import Clusters
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.cursors import Cursors
from devops.reading import Reading
from devops.scope import NamespaceScope
from devops.settings import DevopsSettings

NAMESPACE_POLICY = Path(__file__).parent / "policies" / "namespaces.cedar"


@dataclass(frozen=True)
class Devops:
    """The use cases, and what they stand on."""

    settings: DevopsSettings
    backends: "list[SimulatedCluster]"
    clusters: Clusters
    reading: Reading


def build_devops(common: CommonSettings, settings: DevopsSettings, key: SigningKey) -> Devops:
    """Wire everything; nothing is opened yet. Raises SettingsError."""
    backends = [SimulatedCluster(settings.folder(common.data_dir) / "simulated.db")]
    scope = NamespaceScope(settings.namespace_policy or NAMESPACE_POLICY, settings.tenant, settings.namespace_groups)
    clusters = Clusters(backends, scope)
    cursors = Cursors(key.derive("devops-cursors"))
    return Devops(settings, backends, clusters, Reading(clusters, cursors))


@asynccontextmanager
async def opened(devops: Devops) -> AsyncIterator[Devops]:
    """Open the clusters; close them at the end."""
    async with AsyncExitStack() as stack:
        for cluster in devops.backends:
            stack.push_async_callback(cluster.close)
            await cluster.open()
        yield devops
