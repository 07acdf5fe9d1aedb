"""Wires what changes clusters; it exists in read-write mode only."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from common.confirm import Confirmations
from common.databases import create_engine, sqlite_url
from common.http.upstream import UpstreamMetrics
from common.observability.metrics import Metrics
from common.runtime import Runtime
from common.settings import CommonSettings
from devops.adapters.aws_target import AwsTarget
from devops.adapters.kubernetes_target import KubernetesTarget
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.adapters.simulated.target import SimulatedTarget
from devops.adapters.sql_changes import SqlChanges
from devops.adapters.sql_notices import SqlOutbox
from devops.adapters.sql_rollouts import SqlRollouts
from devops.bootstrap import Devops
from devops.bootstrap_notify import build_notifiers, notify_kinds
from devops.changes.approval import Approvals
from devops.changes.clock import SteadyClock
from devops.changes.execution import DEFAULT_TIMING, Executor, Timing
from devops.changes.gates import Gates
from devops.changes.glass import BreakGlass, GlassRules
from devops.changes.people import KeyRights
from devops.changes.planning import Limits, Planner
from devops.changes.policy import ChangePolicy
from devops.changes.ports import ChangeTarget
from devops.changes.records import Records
from devops.changes.rollouts import Patience
from devops.changes.runner import Runner
from devops.changes.service import Changes
from devops.changes.sweeping import Sweeper
from devops.changes.watching import Halting, Watcher
from devops.notify.courier import Courier
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
    courier: Courier
    watcher: Watcher

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
    notifiers = build_notifiers(common, settings, UpstreamMetrics(runtime.metrics.registry))
    channels = [notifier.channel for notifier in notifiers]
    outbox = SqlOutbox(engine, clock, channels, notify_kinds(settings), (common.public_url or "").rstrip("/"))
    store = SqlChanges(engine, clock, outbox)
    policy = ChangePolicy(change_policy(settings))
    gates = Gates(settings.environments, settings.freezes, settings.windows, settings.changes_off)
    targets = _targets(devops)
    records = Records(runtime.audit, runtime.traces)
    rights = KeyRights(runtime.credentials.keys)
    owner = f"{socket.gethostname()}-{os.getpid()}"
    glass = GlassRules(policy, rights, settings.break_glass == "on", settings.break_glass_minutes * 60)
    executor = Executor(store, targets, policy, gates, rights, glass, records, clock, owner, timing)
    sweeper = Sweeper(store, targets, records, clock)
    rollouts = SqlRollouts(engine, clock, outbox)
    changes = Changes(
        clusters=devops.clusters,
        targets=targets,
        store=store,
        planner=Planner(
            store, policy, gates, clock, Limits(settings.change_ttl_seconds, settings.changes_per_hour), glass.on
        ),
        approvals=Approvals(store, policy, gates, records, clock),
        glass=BreakGlass(store, glass, gates, records, clock, counted(runtime.metrics)),
        runner=Runner(store, executor, sweeper),
        rollouts=rollouts,
        clock=clock,
        images=settings.image_prefixes,
        accounts=devops.cloud.accounts if devops.cloud else None,
    )
    halting = Halting(settings.rollout_halt == "on", policy, rights, gates)
    patience = Patience(settings.rollout_stall_seconds)
    watcher = Watcher(store, rollouts, targets, halting, records, clock, patience)
    runtime.metrics.watch_queue("notices", outbox.oldest)
    courier = Courier(outbox, notifiers, count_notices(runtime.metrics, channels))
    return ChangeEngine(engine, store, executor, sweeper, changes, Confirmations(engine), courier, watcher)


def counted(metrics: Metrics) -> Callable[[str], None]:
    """A counter of the steps of break-glass."""
    steps = Counter(
        "triptych_break_glass", "Break-glass by step: asked, opened", ["server", "step"], registry=metrics.registry
    )
    for step in ("asked", "opened"):
        steps.labels(metrics.server, step)
    return lambda step: steps.labels(metrics.server, step).inc()


def count_notices(metrics: Metrics, channels: Sequence[str]) -> Callable[[str, str], None]:
    """A counter of what became of notices."""
    told = Counter(
        "triptych_notices",
        "Notices by channel and outcome",
        ["server", "channel", "outcome"],
        registry=metrics.registry,
    )
    for channel in channels:
        for outcome in ("sent", "failed", "given_up"):
            told.labels(metrics.server, channel, outcome)
    return lambda channel, outcome: told.labels(metrics.server, channel, outcome).inc()


def _targets(devops: Devops) -> dict[str, ChangeTarget]:
    clusters: dict[str, ChangeTarget] = {
        cluster.name: SimulatedTarget(cluster)
        if isinstance(cluster, SimulatedCluster)
        else KubernetesTarget(cluster.name, cluster.api)
        for cluster in devops.backends
    }
    return clusters | {session.name: AwsTarget(session) for session in (devops.cloud.sessions if devops.cloud else ())}


def _database_url(common: CommonSettings, settings: DevopsSettings) -> str:
    url = common.database_url
    return url.get_secret_value() if url else sqlite_url(settings.folder(common.data_dir) / "changes.db")


@asynccontextmanager
async def opened_changes(built: ChangeEngine, work: bool) -> AsyncIterator[ChangeEngine]:
    """Open the store, execute changes if asked to, close everything at the end."""
    await built.store.open()
    await built.confirmations.open()
    jobs = [built.changes.runner.run(), built.courier.run(), built.watcher.run()] if work else []
    working = [asyncio.create_task(job) for job in jobs]
    try:
        yield built
    finally:
        for task in working:
            task.cancel()
        for task in working:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await built.courier.close()
        await built.engine.dispose()
