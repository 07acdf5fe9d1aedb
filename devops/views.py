"""What of a manifest is shown: short, and without secrets. Values come redacted by key and by pattern."""

from collections.abc import Mapping
from typing import Any

from common.security.redaction import redact
from devops.pods import container_statuses
from devops.ports import Manifest

MAX_VALUE = 300
NOISE = ("kubectl.kubernetes.io/last-applied-configuration",)


def redacted(values: Mapping[str, Any]) -> dict[str, str]:
    """A mapping of names and texts as it may be shown."""
    clean = redact(dict(values), MAX_VALUE)
    return {key: str(value) for key, value in clean.items()} if isinstance(clean, dict) else {}


def annotations_of(item: Manifest) -> dict[str, str]:
    """Without what tools leave there for themselves."""
    found = item["metadata"].get("annotations") or {}
    return redacted({key: value for key, value in found.items() if key not in NOISE})


def environment_of(container: Mapping[str, Any]) -> dict[str, str]:
    """Names with values, or with where the value comes from."""
    values: dict[str, str] = {}
    for item in container.get("env") or []:
        source = item.get("valueFrom")
        if source:
            values[item["name"]] = _source(source)
        else:
            values |= redacted({item["name"]: item.get("value", "")})
    for item in container.get("envFrom") or []:
        kind = "configMapRef" if "configMapRef" in item else "secretRef"
        values[f"(all of {item[kind]['name']})"] = "config map" if kind == "configMapRef" else "secret"
    return values


def _source(source: Mapping[str, Any]) -> str:
    kind, reference = next(iter(source.items()))
    words = {"secretKeyRef": "from secret", "configMapKeyRef": "from config map"}
    if kind in words:
        return f"{words[kind]} {reference.get('name')}, key {reference.get('key')}"
    return f"from {reference.get('fieldPath') or reference.get('resource') or kind}"


def config_maps_of(spec: Mapping[str, Any]) -> list[str]:
    """Names of the config maps that a pod takes its settings from."""
    names: set[str] = set()
    for container in spec["containers"]:
        names |= {item["configMapRef"]["name"] for item in container.get("envFrom") or [] if "configMapRef" in item}
        sources = [item.get("valueFrom", {}).get("configMapKeyRef") for item in container.get("env") or []]
        names |= {source["name"] for source in sources if source}
    return sorted(names | {v["configMap"]["name"] for v in spec.get("volumes") or [] if "configMap" in v})


def state_text(state: Mapping[str, Any] | None) -> str:
    """A container's state in a line."""
    for word, detail in (state or {}).items():
        parts = [word, detail.get("reason"), f"exit code {detail['exitCode']}" if "exitCode" in detail else None]
        since = detail.get("finishedAt") or detail.get("startedAt")
        parts += [f"at {since}" if since else None, detail.get("message")]
        return str(redact(" ".join(str(part) for part in parts if part), MAX_VALUE))
    return "unknown"


def probe_text(probe: Mapping[str, Any]) -> str:
    """A probe in a line."""
    target = probe.get("httpGet") or probe.get("tcpSocket") or probe.get("grpc") or {}
    if "exec" in probe:
        what = "a command"
    else:
        what = f"{'GET ' + str(target['path']) if 'path' in target else 'connect'} on port {target.get('port')}"
    every = f"every {probe.get('periodSeconds', 10)} s, {probe.get('failureThreshold', 3)} failures"
    return f"{what}, {every}, timeout {probe.get('timeoutSeconds', 1)} s"


def containers_of(spec: Mapping[str, Any], pod: Manifest | None = None) -> list[dict[str, Any]]:
    """The containers of a pod or of a template, with their state if there is a pod."""
    states = {status["name"]: status for status in container_statuses(pod)} if pod else {}
    shown = []
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        probes = {
            name: probe_text(container[f"{name}Probe"])
            for name in ("readiness", "liveness", "startup")
            if f"{name}Probe" in container
        }
        view = {
            "name": container["name"],
            "image": container["image"],
            "environment": environment_of(container),
            "resources": container.get("resources") or {},
            "probes": probes,
        }
        if status := states.get(container["name"]):
            last = status.get("lastState")
            view |= {"ready": bool(status.get("ready")), "restarts": int(status.get("restartCount") or 0)}
            view |= {"state": state_text(status.get("state")), "last_end": state_text(last) if last else None}
        shown.append(view)
    return shown


def conditions_of(item: Manifest) -> list[dict[str, str]]:
    """Conditions with reason and message."""
    fields = ("type", "status", "reason", "message", "lastTransitionTime")
    return [
        {field: str(redact(c[field], MAX_VALUE)) for field in fields if c.get(field)}
        for c in item.get("status", {}).get("conditions") or []
    ]
