"""The change engine over the simulated cluster: as use cases, and served through its real ASGI application."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.runtime import Runtime, build_runtime
from common.security.principal import Principal
from common.settings import CommonSettings
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.bootstrap import build_devops, opened
from devops.bootstrap_changes import CHANGE_POLICY, ChangeEngine, build_changes, opened_changes
from devops.changes.change import Change
from devops.changes.clock import SteadyClock
from devops.changes.execution import Timing
from devops.changes.operations import Operation, Scale
from devops.kinds import DEPLOYMENT, NODE, Kind
from devops.server import POLICIES
from devops.settings import DevopsSettings

PRODUCTION = "production"
PORTAL = "web-portal"
CALM = Timing(lease=30.0, write=15.0, drain=30.0, pause=0.02)


def set_clock(clock: SteadyClock, moment: float) -> None:
    """The machine's clock of one process goes on from there."""
    ahead = moment - time.time()
    clock._wall = lambda: time.time() + ahead


@dataclass
class Bench:
    """The engine, and people to use it."""

    runtime: Runtime
    cluster: SimulatedCluster
    built: ChangeEngine

    def person(self, name: str, *roles: str, tenant: str = "local") -> Principal:
        """Somebody with an API key of their own."""
        key, _ = self.runtime.credentials.api_keys.create(name, tenant, list(roles), ["engineering"])
        return key.principal

    async def plan(
        self,
        who: Principal,
        operation: Operation | None = None,
        name: str = PORTAL,
        kind: Kind = DEPLOYMENT,
        namespace: str | None = PRODUCTION,
    ) -> Change:
        """A change of the web portal unless said otherwise; with 3 replicas it is of low risk, with 0 of high risk."""
        where = None if kind is NODE else namespace
        return await self.built.changes.request(who, None, kind, where, name, operation or Scale(replicas=0))

    async def approve(self, change: Change, who: Principal, digest: str | None = None) -> Change:
        """With a sign-in of just now."""
        now = self.built.changes.clock.wall()
        named = change.draft.digest if digest is None else digest
        return await self.built.changes.approvals.approve(change, named, who, now)

    async def execute(self, change: Change) -> Change:
        """Execute it here, and say how it went."""
        await self.built.executor.execute(change)
        return await self.again(change)

    async def again(self, change: Change) -> Change:
        return await self.built.store.get(change.id, change.draft.requester.tenant)

    async def replicas(self, name: str = PORTAL) -> int:
        live = await self.cluster.get(DEPLOYMENT, PRODUCTION, name)
        return int(live["spec"]["replicas"])

    async def generation(self, name: str = PORTAL) -> int:
        """Counts what was changed in the spec of a workload."""
        live = await self.cluster.get(DEPLOYMENT, PRODUCTION, name)
        return int(live["metadata"]["generation"])


@asynccontextmanager
async def bench(folder: Path, timing: Timing = CALM, work: bool = False, **settings: Any) -> AsyncIterator[Bench]:
    """The use cases without server; `settings` are those of DEVOPS_*."""
    runtime = build_runtime("devops", CommonSettings(data_dir=folder), [*POLICIES, CHANGE_POLICY])
    own = DevopsSettings(mode="read-write", changes_per_hour=1000, **settings)
    devops = build_devops(runtime.settings, own, runtime.key)
    built = build_changes(runtime, devops, timing)
    async with runtime.opened(), opened(devops), opened_changes(built, work):
        [cluster] = devops.backends
        assert isinstance(cluster, SimulatedCluster)
        yield Bench(runtime, cluster, built)
