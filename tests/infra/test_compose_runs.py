"""The commands of compose.yaml run outside Docker, against real servers: they start, answer, and end when told to."""

import asyncio
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from fastmcp import Client

from tests.services.promtool import program_or_skip
from tests.support.compose_file import OURS, SERVERS, SERVICES, mounted, port_of
from tests.support.composed import PATIENCE_SECONDS, Composed, composed, written
from tests.support.composed_backends import prometheus_backend
from tests.support.images import read_image
from tests.support.realm import Issuer
from tests.support.serving import ask

# Eight of our processes and their servers, at once.
pytestmark = [pytest.mark.slow, pytest.mark.alone]
DEPLOY = Path(__file__).parents[2] / "docs" / "deploy.md"
NOT_RUN = {
    "elasticsearch": "it starts by a script of its image; a real node stands behind its certificate and password",
    "mongodb": "its image makes the user; SecantusDB with this user and password stands for it",
    "postgres": "its image makes user and database; a real PostgreSQL with both stands for it",
    "keycloak": "there is none here; a stand-in publishes keys, and signs what the realm's mappers would say",
    "grafana": "there is none here; what it reads at its start is read by a test",
}
"""Services whose own command is not run, and why."""
NOT_SEEN = {"restart", "read_only", "cap_drop", "security_opt", "tmpfs", "ports", "image", "profiles"}
"""What only an engine could do with our services; the rest of what the file says of them is used here."""
USED = {"build", "command", "environment", "secrets", "healthcheck", "depends_on", "volumes"}
ELSE_CHECKS = {"elasticsearch", "mongodb", "valkey", "s3"}
"""Programs of images ask for their health; the same is asked here in another way."""
CHECKED = [name for name, service in SERVICES.items() if "test" in service.get("healthcheck", {})]
CUSTOMER = "mirek.dvorak@marlowdairies.example"
OLGA = {
    "id": "7d1c",
    "roles": ["user", "editor", "agent", "operator"],
    "groups": ["/engineering", "/support"],
    "attributes": {"tenant": "fernhill", "clearance": "confidential"},
}


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer(OURS["gateway"]["environment"]["TRIPTYCH_OAUTH_ISSUER"])


@pytest.fixture(scope="module")
def running(elasticsearch_url: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with composed(tmp_path_factory.mktemp("composed"), elasticsearch_url, issuer.published) as here:
        yield here
        codes = here.stop()
        assert set(codes.values()) == {0}, [here.containers[name].said() for name, code in codes.items() if code]


@pytest.fixture(scope="module")
def prometheus(running: Composed) -> Iterator[str]:
    folder = running.folder / "etc"
    folder.mkdir()
    program = program_or_skip("prometheus")
    with prometheus_backend(program, folder, running.secrets, running.places) as url:
        yield url


def get(url: str, body: bytes | None = None, **headers: str) -> tuple[int, Message, bytes]:
    """Status, headers and body of an answer."""
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own loopback URL
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, refusal.read()


def test_the_whole_file_is_run_or_named(running: Composed, prometheus: str) -> None:
    own = {name for backend in running.backends.values() for name in backend.ran}
    ran = set(running.containers) | own | {"prometheus"}
    assert ran | set(NOT_RUN) == set(SERVICES) and not ran & set(NOT_RUN)
    for service in OURS.values():
        assert set(service) <= USED | NOT_SEEN


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_healthy_by_the_check_of_its_image(running: Composed, name: str) -> None:
    health = read_image(OURS[name]["build"]["args"]).health
    done = running.containers[name].execute(*health)
    assert done.returncode == 0, done.stderr
    environment = running.containers[name].environment
    nowhere = {**environment, "HEALTH_URL": "http://127.0.0.1:1/health/live"}
    assert subprocess.run(health, env=nowhere, timeout=60).returncode == 1
    report = json.loads(get(f"{running.url(name)}/health/ready")[2])
    assert report["server"] == name, report


@pytest.mark.parametrize("name", CHECKED)
def test_other_servers_are_healthy_by_what_the_file_asks(running: Composed, name: str) -> None:
    assert running.backends[name].healthy()
    assert name in ELSE_CHECKS or name == "postgres"


async def test_each_vertical_answers_through_the_gateway(running: Composed, issuer: Issuer) -> None:
    async with Client(f"{running.url('gateway')}/mcp", auth=issuer.token(OLGA)) as olga:
        async with asyncio.timeout(PATIENCE_SECONDS):
            # A list waits for a slow domain for a while only, and on a busy machine all are slow at first.
            while {each.name.partition("_")[0] for each in await olga.list_tools()} != {"kb", "devops", "support"}:
                await asyncio.sleep(0.2)
        found = await ask(olga, "kb_search", query="How long is the warranty of a sensor?")
        assert found["items"] and all(each["citation"] for each in found["items"])
        whole = await ask(olga, "kb_fetch", id=found["items"][0]["document_id"])
        assert len(whole["text"]) > 200
        workloads = await ask(olga, "devops_list_workloads", namespace="production")
        assert {"web-portal", "ingest-api"} <= {each["name"] for each in workloads["items"]}
        assert (await ask(olga, "support_search_products", query="sensor"))["items"]
        orders = await ask(olga, "support_list_orders", email=CUSTOMER)
        order = await ask(olga, "support_get_order", number=orders["items"][0]["number"])
        assert order["lines"]
        customer = await ask(olga, "support_get_customer_360", email=CUSTOMER)
        assert customer["sources"]["profiles"]["state"] == "ok", customer["sources"]


async def test_the_worker_takes_in_what_the_server_was_given(running: Composed, issuer: Issuer) -> None:
    access = {"classification": "internal"}
    async with Client(f"{running.url('gateway')}/mcp", auth=issuer.token(OLGA)) as olga:
        given = {"id": "composed", "title": "Composed", "text": "The zirconium flange is on shelf nine."}
        job = await ask(olga, "kb_add_document", **given, access=access)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await ask(olga, "kb_get_job", job_id=job["job_id"]))["state"] != "finished":
                await asyncio.sleep(0.1)
        found = await ask(olga, "kb_search", query="zirconium flange")
        assert found["items"][0]["document_id"] == "composed"


async def test_a_key_of_one_container_is_taken_by_all(running: Composed) -> None:
    [command] = re.findall(r"compose\.yaml exec (\S+ triptych keys create [^`]+)`", DEPLOY.read_text())
    name, *arguments = command.split()
    done = running.containers[name].execute(*arguments)
    assert done.returncode == 0, done.stderr
    async with Client(f"{running.url('gateway')}/mcp", auth=done.stdout.strip()) as me:
        assert (await ask(me, "kb_search", query="warranty"))["items"]
        assert (await ask(me, "devops_list_workloads", namespace="production"))["items"]
        assert (await ask(me, "support_list_orders", email=CUSTOMER))["items"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_known_by_its_names_alone(running: Composed, name: str) -> None:
    url = running.url(name)
    for host, status in (
        (f"{name}:{port_of(name)}", 200),
        (f"localhost:{port_of(name)}", 200),
        ("evil.example", 421),
    ):
        assert get(f"{url}/health/live", Host=host)[0] == status, host
    targets = {url for urls in json.loads(OURS["gateway"]["environment"]["GATEWAY_DOMAINS"]).values() for url in urls}
    assert name == "gateway" or f"http://{name}:{port_of(name)}/mcp" in targets


@pytest.mark.parametrize("name", SERVERS)
def test_who_is_refused_is_told_where_to_sign_in(running: Composed, name: str) -> None:
    url = running.url(name)
    status, headers, _ = get(f"{url}/mcp", b"{}")
    found = re.search(r'resource_metadata="([^"]+)"', headers.get("www-authenticate", ""))
    assert status == 401 and found is not None, (status, headers)
    assert urlsplit(found[1]).netloc == urlsplit(url).netloc, "it is the address that is published"
    told = json.loads(get(found[1])[2])
    assert told["resource"] == f"{url}/mcp"
    assert told["authorization_servers"][0].rstrip("/") == OURS[name]["environment"]["TRIPTYCH_OAUTH_ISSUER"]


def test_prometheus_reads_every_server_and_its_rules(running: Composed, prometheus: str) -> None:
    file = running.folder / "etc" / "prometheus.yaml"
    done = subprocess.run(
        [program_or_skip("promtool"), "check", "config", file], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr
    wanted = {urlsplit(running.url(name)).netloc for name in SERVERS}
    for _ in range(300):
        targets = json.loads(get(f"{prometheus}/api/v1/targets")[2])["data"]["activeTargets"]
        if {each["labels"]["instance"] for each in targets if each["health"] == "up"} == wanted:
            break
        time.sleep(0.1)
    assert {each["labels"]["instance"]: each["lastError"] for each in targets} == dict.fromkeys(wanted, "")
    assert json.loads(get(f"{prometheus}/api/v1/rules")[2])["data"]["groups"]
    assert get(f"{running.url('gateway')}/metrics")[0] == 403, "nobody without the token"


def test_nothing_is_written_into_an_image(running: Composed) -> None:
    for image in running.images.values():
        assert not [path for path in written(image) if os.stat(path).st_mtime > running.started]


def test_what_grafana_reads_is_there() -> None:
    places = {target: str(source) for target, source in mounted("grafana").items()}
    provisioning = Path(places["/etc/grafana/provisioning"])
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    address = urlsplit(source["url"])
    assert address.hostname in SERVICES and address.port == 9090
    [provider] = yaml.safe_load((provisioning / "dashboards" / "triptych.yaml").read_text())["providers"]
    folder = provider["options"]["path"]
    [dashboard] = [Path(here) for target, here in places.items() if Path(target).parent == Path(folder)]
    assert dashboard.suffix == ".json" and source["uid"] in dashboard.read_text()
    assert json.loads(dashboard.read_text())["panels"]
