"""The overlays on a real API server: applied as they are, their pods admitted at the level `restricted`."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.settings import CommonSettings
from infra.cli.verticals import load_vertical, server_names
from tests.services.kubectl import REMEDY, kubectl

FOLDER = Path(__file__).parents[3] / "infra" / "kubernetes"
DEFINITIONS = Path(__file__).parent / "definitions.yaml"
OVERLAYS = ["dev", "production"]
SECONDS = 60


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return kubectl()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.fail(f"kubectl cannot be had ({error}); to bring it: {REMEDY}")


def rendered(program: Path, overlay: str) -> list[dict[str, Any]]:
    """The objects of an overlay."""
    command = [str(program), "kustomize", str(FOLDER / "overlays" / overlay)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    assert not done.stderr, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def at(program: Path, cluster: Path, *arguments: str, stdin: str | None = None) -> str:
    """Output of kubectl as administrator, warnings included."""
    command = [str(program), "--kubeconfig", str(cluster / "admin.kubeconfig"), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def pods(program: Path, cluster: Path, namespace: str, until: int) -> list[dict[str, Any]]:
    """Pods of a namespace, once there are so many."""
    end = time.monotonic() + SECONDS
    while True:
        answer = json.loads(at(program, cluster, "-n", namespace, "get", "pods", "-o", "json"))
        found: list[dict[str, Any]] = answer["items"]
        if len(found) >= until or time.monotonic() > end:
            return found
        time.sleep(0.2)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_applied_and_its_pods_are_admitted(program: Path, kubernetes_folder: Path, overlay: str) -> None:
    objects = rendered(program, overlay)
    at(program, kubernetes_folder, "apply", "--server-side", "-f", str(DEFINITIONS))
    at(program, kubernetes_folder, "wait", "--for=condition=Established", "-f", str(DEFINITIONS))
    # A namespace of its own for each overlay: one that goes takes its time.
    text = yaml.safe_dump_all(objects).replace("namespace: triptych\n", f"namespace: triptych-{overlay}\n")
    text = re.sub(r"(kind: Namespace\nmetadata:\n(?:  .*\n)*?  name: )triptych\n", rf"\1triptych-{overlay}\n", text)
    namespace = next(entry for entry in yaml.safe_load_all(text) if entry["kind"] == "Namespace")
    at(program, kubernetes_folder, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(namespace))
    said = at(program, kubernetes_folder, "apply", "--server-side", "-f", "-", stdin=text)
    assert "would violate PodSecurity" not in said
    wanted = sum(entry["spec"]["replicas"] for entry in objects if entry["kind"] == "Deployment")
    found = pods(program, kubernetes_folder, namespace["metadata"]["name"], wanted)
    assert len(found) >= wanted
    assert {pod["spec"]["securityContext"]["runAsNonRoot"] for pod in found} == {True}
    at(program, kubernetes_folder, "delete", "--wait=false", "-f", "-", stdin=text)


def test_the_level_restricted_is_what_admits(program: Path, kubernetes_folder: Path) -> None:
    """The same pods without their security context are refused: so the test above can fail."""
    objects = [entry for entry in rendered(program, "dev") if entry["kind"] in ("Namespace", "Deployment")]
    objects[0]["metadata"]["name"] = "triptych-lax"
    at(program, kubernetes_folder, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(objects[0]))
    for entry in objects[1:]:
        entry["metadata"]["namespace"] = "triptych-lax"
        del entry["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    text = yaml.safe_dump_all(objects[1:])
    said = at(program, kubernetes_folder, "apply", "--server-side", "--dry-run=server", "-f", "-", stdin=text)
    assert "would violate PodSecurity" in said


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_and_commands_are_known(program: Path, overlay: str) -> None:
    objects = rendered(program, overlay)
    maps = {entry["metadata"]["name"]: entry["data"] for entry in objects if entry["kind"] == "ConfigMap"}
    assert set(maps) == set(server_names())
    for name, settings in maps.items():
        vertical = load_vertical(name)
        own = vertical.settings.model_config["env_prefix"]
        known = {f"{own}{field}".upper() for field in vertical.settings.model_fields}
        assert {key for key in settings if key.startswith(own.upper())} <= known
        given = {key[len(own) :].lower(): value for key, value in settings.items() if key.startswith(own.upper())}
        vertical.settings(**{key: _read(value) for key, value in given.items()})
        common = {f"TRIPTYCH_{field}".upper() for field in CommonSettings.model_fields}
        assert {key for key in settings if not key.startswith(own.upper())} <= common
    for entry in objects:
        if entry["kind"] == "Deployment":
            [container] = entry["spec"]["template"]["spec"]["containers"]
            command, name, *_ = container["args"]
            assert command in ("serve", "worker") and name in server_names()
            assert container["image"].rpartition(":")[0].endswith(f"triptych-{name}")


def _read(value: str) -> Any:
    if value.startswith("https://"):
        return [value]
    return json.loads(value) if value[:1] in "{[" else value


def test_the_way_in_leads_to_a_server_that_knows_its_name(program: Path) -> None:
    objects = rendered(program, "production")
    maps = {entry["metadata"]["name"]: entry["data"] for entry in objects if entry["kind"] == "ConfigMap"}
    [ingress] = [entry["spec"] for entry in objects if entry["kind"] == "Ingress"]
    given = maps["gateway"]
    settings = CommonSettings(public_url=given["TRIPTYCH_PUBLIC_URL"])
    assert {rule["host"] for rule in ingress["rules"]} <= set(settings.accepted_hosts)
    # Each server counts failed sign-ins by client, who is behind the controller, and the gateway.
    assert len({each["TRIPTYCH_TRUSTED_PROXIES"] for each in maps.values()}) == 1


def test_only_the_gateway_is_reached_from_outside_the_namespace(program: Path) -> None:
    policies = {
        e["metadata"]["name"]: e["spec"] for e in rendered(program, "production") if e["kind"] == "NetworkPolicy"
    }
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name in ("knowledge-base", "devops", "support-hub"):
        peers = [peer for rule in policies[name]["ingress"] for peer in rule["from"]]
        namespaces = [p["namespaceSelector"]["matchLabels"] for p in peers if "namespaceSelector" in p]
        assert namespaces == [{"kubernetes.io/metadata.name": "monitoring"}]
