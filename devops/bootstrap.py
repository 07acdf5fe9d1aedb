"""The one place that reads settings and wires adapters into use cases."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from common.errors import SettingsError
from common.security.signing import Keys, Purpose
from common.settings import CommonSettings
from devops.access import Clusters
from devops.adapters.kubernetes_api import KubernetesApi
from devops.adapters.kubernetes_cluster import KubernetesCluster
from devops.adapters.prometheus import Prometheus
from devops.adapters.simulated.alerts import SimulatedAlerts
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.adapters.simulated.history import SimulatedHistory
from devops.alerts import Alerts, AlertSource
from devops.bootstrap_cloud import Cloud, build_cloud
from devops.budget import Budgets, Objective
from devops.cursors import Cursors
from devops.details import Details
from devops.diagnosis.gather import Gatherer
from devops.events import Events
from devops.live_events import LiveEvents
from devops.live_logs import LiveLogs
from devops.logs import Logs
from devops.metrics import Metrics
from devops.reading import Reading
from devops.scope import NamespaceScope
from devops.settings import DevopsSettings

NAMESPACE_POLICY = Path(__file__).parent / "policies" / "namespaces.cedar"


@dataclass(frozen=True)
class Devops:
    """The use cases, and what they stand on."""

    settings: DevopsSettings
    backends: Sequence[SimulatedCluster | KubernetesCluster]
    history: Prometheus | None
    clusters: Clusters
    reading: Reading
    details: Details
    logs: Logs
    events: Events
    metrics: Metrics
    budgets: Budgets
    alerts: Alerts
    gatherer: Gatherer
    live_logs: LiveLogs
    live_events: LiveEvents
    cloud: Cloud | None


def build_devops(common: CommonSettings, settings: DevopsSettings, keys: Keys) -> Devops:
    """Wire everything; nothing is opened yet. Raises SettingsError."""
    backends = _backends(common, settings)
    policy = settings.namespace_policy or NAMESPACE_POLICY
    scope = NamespaceScope(policy, settings.tenant, settings.namespace_groups)
    clusters = Clusters(backends, scope)
    cursors = Cursors(Purpose(keys, "devops-cursors"))
    history = _history(settings)
    details = Details(clusters)
    logs = Logs(clusters, details, settings.max_log_bytes)
    alerts = Alerts(clusters, details, _alert_source(backends, history))
    past = history or _simulated_history(backends)
    return Devops(
        settings=settings,
        backends=backends,
        history=history,
        clusters=clusters,
        reading=Reading(clusters, cursors),
        details=details,
        logs=logs,
        events=Events(clusters, cursors),
        metrics=Metrics(clusters, details, past),
        budgets=Budgets(clusters, past, Objective(settings.objective, settings.objective_days)),
        alerts=alerts,
        gatherer=Gatherer(details, logs, alerts),
        live_logs=LiveLogs(clusters, logs, cursors, settings.impersonate),
        live_events=LiveEvents(clusters, cursors, settings.impersonate),
        cloud=build_cloud(settings, policy, cursors, clusters.names),
    )


def _alert_source(
    backends: Sequence[SimulatedCluster | KubernetesCluster], history: Prometheus | None
) -> AlertSource | None:
    simulated = next((cluster for cluster in backends if isinstance(cluster, SimulatedCluster)), None)
    return history or (SimulatedAlerts(simulated) if simulated else None)


def _simulated_history(backends: Sequence[SimulatedCluster | KubernetesCluster]) -> SimulatedHistory | None:
    simulated = next((cluster for cluster in backends if isinstance(cluster, SimulatedCluster)), None)
    return SimulatedHistory(simulated) if simulated else None


def _history(settings: DevopsSettings) -> Prometheus | None:
    if settings.prometheus_url is None:
        return None
    token = settings.prometheus_token
    return Prometheus(
        settings.prometheus_url,
        token.get_secret_value() if token else None,
        settings.request_timeout_seconds,
        settings.requests_metric,
        settings.requests_status_label,
    )


def _backends(common: CommonSettings, settings: DevopsSettings) -> Sequence[SimulatedCluster | KubernetesCluster]:
    if settings.cluster == "simulated":
        return [SimulatedCluster(settings.simulated_file(common.data_dir))]
    if find_spec("kubernetes") is None:
        raise SettingsError(f"DEVOPS_CLUSTER={settings.cluster} needs the extra: pip install 'triptych[devops]'")
    in_cluster = settings.cluster == "in-cluster"
    contexts: list[str | None] = ["in-cluster"] if in_cluster else [*settings.contexts] or [None]
    timeout, impersonate = settings.request_timeout_seconds, settings.impersonate
    return [
        KubernetesCluster(
            context or "default",
            KubernetesApi(settings.kubeconfig, context, in_cluster, timeout, impersonate),
        )
        for context in contexts
    ]


@asynccontextmanager
async def opened(devops: Devops) -> AsyncIterator[Devops]:
    """Open the clusters; close them at the end."""
    async with AsyncExitStack() as stack:
        for cluster in devops.backends:
            stack.push_async_callback(cluster.close)
            await cluster.open()
        if devops.history is not None:
            stack.push_async_callback(devops.history.close)
        if devops.cloud is not None:
            stack.push_async_callback(devops.cloud.close)
        for feeds in (devops.live_logs.feeds, devops.live_events.feeds):
            stack.push_async_callback(feeds.close)
        yield devops
