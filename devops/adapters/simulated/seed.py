"""The demo company's cluster `fern-ams-1` with five incidents. Same services as in its documents."""

import copy
from typing import Any

from devops.adapters.simulated.controllers import settle
from devops.adapters.simulated.kubelet import REGISTRY
from devops.adapters.simulated.state import State, rfc3339
from devops.kinds import DEPLOYMENT
from devops.ports import Manifest

DAY, HOUR, MINUTE = 86_400.0, 3_600.0, 60.0
POOLS = {"apps": (3, "8", "16Gi"), "store": (3, "16", "64Gi"), "batch": (1, "4", "8Gi")}


def seed(state: State, now: float) -> None:
    """The cluster as it came about: set up 40 days ago, then changed, so that there is a history to look at."""
    state.clock = lambda: now - 40 * DAY
    for name in ("default", "kube-system", "production", "load-test"):
        _create(state, "v1", "Namespace", name, None, labels={"kubernetes.io/metadata.name": name})
    for pool, (count, cpu, memory) in POOLS.items():
        for number in range(1, count + 1):
            _node(state, f"fern-ams-1-{pool}-{number}", pool, cpu, memory)
    _services(state)
    settle(state)
    _incidents(state, now)
    state.clock = lambda: now
    settle(state)


def _create(
    state: State, api: str, kind: str, name: str, namespace: str | None, labels: Any = None, **body: Any
) -> Manifest:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), "labels": dict(labels or {})}
    return state.create({"apiVersion": api, "kind": kind, "metadata": metadata, **body})


def _node(state: State, name: str, pool: str, cpu: str, memory: str) -> None:
    size = {"cpu": cpu, "memory": memory, "pods": "110"}
    since = rfc3339(state.clock())
    healthy = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
    conditions = [
        {"type": kind, "status": status, "lastTransitionTime": since, "lastHeartbeatTime": since}
        for kind, status in healthy.items()
    ]
    info = {"kubeletVersion": "v1.37.2-simulated"}
    status = {"capacity": size, "allocatable": size, "conditions": conditions, "nodeInfo": info}
    _create(state, "v1", "Node", name, None, {"pool": pool, "kubernetes.io/hostname": name}, spec={}, status=status)


def container(service: str, tag: str, cpu: str, memory: str, **env: str) -> Manifest:
    """A container of one of the company's services."""
    return {
        "name": service,
        "image": f"{REGISTRY}/{service}:{tag}",
        "ports": [{"containerPort": 8080}],
        "env": [
            *({"name": name, "value": value} for name, value in env.items()),
            {"name": "STORE_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "store-login", "key": "password"}}},
        ],
        "envFrom": [{"configMapRef": {"name": f"{service}-config"}}],
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 10, "failureThreshold": 3},
    }


def workload(name: str, namespace: str, replicas: int, pool: str, spec: Manifest, kind: str = "Deployment") -> Manifest:
    """A Deployment or StatefulSet of one container."""
    labels = {"app": name}
    pod = {"containers": [spec], "nodeSelector": {"pool": pool}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": {**labels, "team": "platform"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _services(state: State) -> None:
    production = (
        ("ingest-api", 6, "apps", container("ingest-api", "2026.2.3", "500m", "512Mi", STORE_CONNECTIONS="10")),
        ("alert-engine", 4, "apps", container("alert-engine", "2026.2.3", "500m", "512Mi", STORE_CONNECTIONS="40")),
        ("web-portal", 4, "apps", container("web-portal", "2026.2.3", "250m", "512Mi", STORE_CONNECTIONS="6")),
        ("report-worker", 3, "batch", container("report-worker", "2026.2.3", "1", "1Gi")),
        ("billing-api", 2, "batch", container("billing-api", "2026.2.3", "500m", "512Mi")),
    )
    for name, replicas, pool, spec in production:
        _settings(state, name, "production")
        state.create(workload(name, "production", replicas, pool, spec))
        _budget(state, name)
    _settings(state, "telemetry-store", "production")
    for shard in (1, 2, 3):
        spec = container("telemetry-store", "17.4-fern2", "4", "16Gi")
        state.create(workload(f"telemetry-store-{shard}", "production", 2, "store", spec, "StatefulSet"))
        _budget(state, f"telemetry-store-{shard}")
    secret = {"password": "Y2FuYXJ5LXNpbXVsYXRlZA=="}
    _create(state, "v1", "Secret", "store-login", "production", type="Opaque", data=secret)


def _settings(state: State, service: str, namespace: str) -> None:
    data = {"LOG_LEVEL": "info", "REGION": "ams", "SMTP_PASSWORD": "canary-simulated-mail"}
    _create(state, "v1", "ConfigMap", f"{service}-config", namespace, data=data)


def _budget(state: State, name: str) -> None:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}
    _create(state, "policy/v1", "PodDisruptionBudget", name, "production", spec=spec)


def change(state: State, name: str, namespace: str = "production", **values: Any) -> None:
    """A release or a scaling: `image`, `replicas`, or variables of the environment."""
    deployment = copy.deepcopy(state.get(DEPLOYMENT, namespace, name))
    if "replicas" in values:
        deployment["spec"]["replicas"] = values.pop("replicas")
    spec = deployment["spec"]["template"]["spec"]["containers"][0]
    if "image" in values:
        spec["image"] = f"{REGISTRY}/{values.pop('image')}"
    for variable in spec["env"]:
        if variable["name"] in values:
            variable["value"] = values[variable["name"]]
    state.replace(deployment)
    settle(state)


def _incidents(state: State, now: float) -> None:
    """Full node, quota, failing rollout, bad image, crash loop: in the order in which they began."""
    state.clock = lambda: now - 6 * HOUR
    _create(
        state, "v1", "ResourceQuota", "load-test", "load-test", spec={"hard": {"pods": "3", "requests.cpu": "1500m"}}
    )
    _settings(state, "ingest-replay", "load-test")
    state.create(
        workload("ingest-replay", "load-test", 5, "apps", container("ingest-replay", "0.4.0", "500m", "256Mi"))
    )
    settle(state)
    state.clock = lambda: now - 2 * HOUR
    change(state, "billing-api", replicas=3)
    state.clock = lambda: now - 50 * MINUTE
    change(state, "web-portal", image="web-portal:2026.3.0")
    state.clock = lambda: now - 35 * MINUTE
    change(state, "ingest-api", image="ingest-api:2026.2.33")
    state.clock = lambda: now - 25 * MINUTE
    change(state, "alert-engine", STORE_CONNECTIONS="60")
