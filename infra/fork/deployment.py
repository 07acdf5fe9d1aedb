"""Compose file, Kustomize overlays and scraping for one server instead of all. Names are still those of the suite."""

import json
import re
from typing import Any

SERVERS = {"knowledge-base": 8001, "devops": 8002, "support-hub": 8003, "gateway": 8000}
"""Every server of the suite and its port."""
SUPPORT_PROFILES = ("observability", "keycloak")
"""Profiles of the Compose file that are not about one server."""
_INGRESS = """- namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: ingress-nginx"""


def deployed(path: str, text: str, server: str) -> str | None:
    """A file of infra as a fork of this server needs it; None if it needs none of it."""
    if path.endswith("compose.yaml"):
        return compose(text, server)
    if path.startswith("infra/kubernetes/"):
        return _kubernetes(path, text, server)
    if path.endswith(("prometheus.yaml", "otel-collector.yaml")):
        return _targets(text, server)
    if path.endswith("Dockerfile"):
        return _dockerfile(text, server)
    return text


def compose(text: str, server: str) -> str:
    """The services that this server needs, with its seed job if it has one."""
    import yaml

    given = yaml.safe_load(text)
    services: dict[str, Any] = {}
    for name, service in given["services"].items():
        profiles = service.get("profiles", [])
        if name == f"seed-{server}":
            services["seed"] = service
        elif name in (server, f"{server}-worker"):
            services[name] = _without(service, "profiles")
        elif name.partition("-worker")[0] not in SERVERS and server in profiles:
            services[name] = _without(service, "profiles")
        elif apart := [profile for profile in profiles if profile in SUPPORT_PROFILES]:
            services[name] = {**service, "profiles": apart}
    kept = {"name": given["name"], "services": services}
    for kind in ("volumes", "secrets"):
        used = {_named(each) for service in services.values() for each in service.get(kind, [])}
        kept[kind] = {name: value for name, value in given[kind].items() if name in used}
    seed = "seed (loads the demo company), " if "seed" in services else ""
    head = (
        "# The server and its backends on one machine. From the root of the repository:\n"
        "#   python -m infra.compose.prepare                      makes secrets and certificates, once\n"
        "#   docker compose -f infra/compose/compose.yaml up --build\n"
        f"# Profiles for more: {seed}keycloak, observability.\n"
    )
    # A copy has no value twice, so that the file needs no anchors.
    body: str = yaml.safe_dump(json.loads(json.dumps(kept)), sort_keys=False, width=110)
    return head + body


def _without(service: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in service.items() if name != key}


def _named(entry: object) -> str:
    return str(entry).partition(":")[0]


def _others(server: str) -> str:
    return "|".join(other for other in SERVERS if other != server)


def _kubernetes(path: str, text: str, server: str) -> str | None:
    others = _others(server)
    if re.search(rf"/(?:base|components)/(?:{others})(?:-[a-z-]+)?/", path):
        # The way in leads to the gateway; in a fork, to its server.
        return None
    if "/components/worker/" in path and f"{server}-worker" not in text and "deployment" in path:
        return None
    if "/components/ingress/" in path:
        return text.replace("gateway", server)
    if path.endswith("hpa/kustomization.yaml"):
        text = re.sub(r"^# .*\n", "# Replicas by processor use.\n", text)
    if "/overlays/" in path:
        return _overlay(text, others)
    if "/components/" in path and "\n---\n" in text:
        return _documents(text, others)
    return text


def _documents(text: str, others: str) -> str | None:
    """Those of a file that are not of another server."""
    name = re.compile(rf"(?m)^  name: (?:triptych-)?(?:{others})(?:-worker)?$")
    kept = [each for each in text.split("\n---\n") if not name.search(each)]
    joined = "\n---\n".join(each.strip("\n") for each in kept)
    return (
        re.sub(r"- podSelector:\n +matchLabels:\n +app\.kubernetes\.io/name: gateway", _INGRESS, joined) + "\n"
        if kept
        else None
    )


def _overlay(text: str, others: str) -> str:
    text = re.sub(rf"  - \.\./\.\./base/(?:{others})\n", "", text)
    return re.sub(rf"  - name: (?:triptych-)?(?:{others})\n(?:    .*\n)*", "", text)


def existing(text: str, folders: set[str]) -> str:
    """An overlay without the components that are not there."""
    found = re.sub(r"  - \.\./\.\./(components/[a-z-]+)\n", lambda line: line[0] if line[1] in folders else "", text)
    return re.sub(r"(?m)^components:\n(?!  )", "", found)


def _targets(text: str, server: str) -> str:
    def kept(line: re.Match[str]) -> str:
        targets = [each for each in re.findall(r'"[^"]+"', line[1]) if each.endswith(f':{SERVERS[server]}"')]
        return f"targets: [{', '.join(targets)}]"

    return re.sub(r"targets: \[(.*)\]", kept, text)


def _dockerfile(text: str, server: str) -> str:
    """One package, and arguments that nobody has to give."""
    package = server.replace("-", "_")
    others = "|".join(["common", *(other.replace("-", "_") for other in SERVERS if other != server)])
    text = re.sub(rf"(?m)^COPY (?:{others}) .*\n", "", text)
    text = text.replace(f"COPY {package} {package}", f"COPY {package}/ {package}/")
    text = re.sub(
        r"(?m)^# One image a server.*\n#.*\n#.*\n",
        "# From the root of the repository: docker build -f infra/docker/Dockerfile -t triptych .\n",
        text,
    )
    text = re.sub(r"(?m)^ARG SERVER$", f"ARG SERVER={server}", text)
    return re.sub(r"(?m)^ARG PORT$", f"ARG PORT={SERVERS[server]}", text)
