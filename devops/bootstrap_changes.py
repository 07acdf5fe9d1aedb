"""Wires what changes clusters; it exists in read-write mode only."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from common.confirm import Confirmations
from common.databases import create_engine, sqlite_url
from common.runtime import Runtime
from common.settings import CommonSettings
from devops.adapters.kubernetes_cluster import KubernetesCluster
from devops.adapters.kubernetes_target import KubernetesTarget
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.adapters.simulated.target import SimulatedTarget
from devops.adapters.sql_changes import SqlChanges
from devops.bootstrap import Devops
from devops.changes.approval import Approvals
from devops.changes.clock import SteadyClock
from devops.changes.execution import DEFAULT_TIMING, Executor, Timing
from devops.changes.gates import Gates
from devops.changes.people import KeyRights
from devops.changes.planning import Limits, Planner
from devops.changes.policy import ChangePolicy
from devops.changes.ports import ChangeTarget
from devops.changes.records import Records
from devops.changes.runner import Runner
from devops.changes.service import Changes
from devops.changes.sweeping import Sweeper
from devops.settings import DevopsSettings

CHANGE_POLICY = Path(__file__).parent / "policies" / "changes.cedar"


@dataclass(frozen=True)
class ChangeEngine:
    """The use cases of changes, and what they stand on."""

    engine: AsyncEngine
    store: SqlChanges
    executor: Executor
    sweeper: Sweeper
    changes: Changes
    confirmations: Confirmations

    async def waited(self) -> float:
        """How many seconds the first approved change has waited for its execution."""
        first = await self.store.approved(1)
        return max(0.0, self.changes.clock.now() - first[0].updated_at) if first else 0.0


def change_policy(settings: DevopsSettings) -> Path:
    """The file that says what a change needs."""
    return settings.change_policy or CHANGE_POLICY


def build_changes(runtime: Runtime, devops: Devops, timing: Timing = DEFAULT_TIMING) -> ChangeEngine:
    """Wire everything; nothing is opened yet. Raises SettingsError."""
    settings = devops.settings
    common = runtime.settings
    engine = create_engine(_database_url(common, settings), common.ca_file, follow=common.follow("database_url"))
    clock = SteadyClock()
    store = SqlChanges(engine, clock)
    policy = ChangePolicy(change_policy(settings))
    gates = Gates(settings.environments, settings.freezes, settings.windows, settings.changes_off)
    targets = _targets(devops.backends)
    records = Records(runtime.audit)
    rights = KeyRights(runtime.credentials.keys)
    owner = f"{socket.gethostname()}-{os.getpid()}"
    executor = Executor(store, targets, policy, gates, rights, records, clock, owner, timing)
    sweeper = Sweeper(store, targets, records, clock)
    changes = Changes(
        clusters=devops.clusters,
        targets=targets,
        store=store,
        planner=Planner(store, policy, gates, clock, Limits(settings.change_ttl_seconds, settings.changes_per_hour)),
        approvals=Approvals(store, policy, gates, records, clock),
        runner=Runner(store, executor, sweeper),
        clock=clock,
        images=settings.image_prefixes,
    )
    return ChangeEngine(engine, store, executor, sweeper, changes, Confirmations(engine))


def _targets(backends: Sequence[SimulatedCluster | KubernetesCluster]) -> dict[str, ChangeTarget]:
    return {
        cluster.name: SimulatedTarget(cluster)
        if isinstance(cluster, SimulatedCluster)
        else KubernetesTarget(cluster.name, cluster.api)
        for cluster in backends
    }


def _database_url(common: CommonSettings, settings: DevopsSettings) -> str:
    url = common.database_url
    return url.get_secret_value() if url else sqlite_url(settings.folder(common.data_dir) / "changes.db")


@asynccontextmanager
async def opened_changes(built: ChangeEngine, work: bool) -> AsyncIterator[ChangeEngine]:
    """Open the store, execute changes if asked to, close everything at the end."""
    await built.store.open()
    await built.confirmations.open()
    working = asyncio.create_task(built.changes.runner.run()) if work else None
    try:
        yield built
    finally:
        if working is not None:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
        await built.engine.dispose()
