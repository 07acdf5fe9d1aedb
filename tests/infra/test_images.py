"""The images: each lock has all that its server imports, and nothing that only another server needs."""

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from infra.fork.closure import closure, modules_below
from infra.lock import IMAGES, image_requirements, name_of
from tests.support.images import copied, read_image

ROOT = Path(__file__).parents[2]
ONLY = {
    "lancedb": {"knowledge-base"},
    "onnxruntime": {"knowledge-base"},
    "kubernetes": {"devops"},
    "phonenumbers": {"support-hub"},
    "elasticsearch": {"knowledge-base"},
}
# Asking a model is for people's machines; `sentence-transformers` brings gigabytes and has a lock of its own.
OPTIONAL = {"anthropic", "sentence-transformers", "torch"}


def locked(server: str) -> set[str]:
    text = (ROOT / "infra" / "docker" / f"{server}.lock").read_text()
    return {found.lower().replace("_", "-") for found in re.findall(r"(?m)^([A-Za-z0-9._-]+)==", text)}


@pytest.mark.parametrize(("server", "folder"), IMAGES.items())
def test_a_lock_has_what_the_server_imports(server: str, folder: str) -> None:
    start = [*modules_below(ROOT, folder), *modules_below(ROOT, "common/cli")]
    if folder.startswith("infra"):
        start = [module for module in start if not module.startswith("infra.demo")]
    distributions = packages_distributions()
    wanted = {
        distributions[name][0].lower().replace("_", "-")
        for name in closure(ROOT, start).foreign
        if name in distributions
    }
    assert wanted - locked(server) - OPTIONAL == set()


@pytest.mark.parametrize("server", IMAGES)
def test_a_lock_is_of_the_manifest(server: str) -> None:
    asked = {name_of(line).replace("_", "-") for line in image_requirements(IMAGES[server])}
    assert {name.partition("[")[0] for name in asked} <= locked(server)


@pytest.mark.parametrize("server", IMAGES)
def test_an_image_stays_small(server: str) -> None:
    assert {name for name, servers in ONLY.items() if server not in servers} & locked(server) == set()


def test_the_dockerfile_runs_as_nobody_special() -> None:
    lines = (ROOT / "infra" / "docker" / "Dockerfile").read_text().splitlines()
    assert "USER 10001:10001" in lines
    assert sum("--require-hashes" in line for line in lines) == 2
    assert not any("latest" in line for line in lines)


@pytest.mark.parametrize("server", IMAGES)
def test_what_the_build_copies_is_in_its_context(server: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    for source, _ in copied(server):
        assert (ROOT / source).exists() and f"!{source.partition('/')[0]}" in lines


def test_the_health_check_is_of_the_images_own_port() -> None:
    image = read_image({"SERVER": "devops", "PORT": "8002"})
    assert image.environment["HEALTH_URL"] == "http://127.0.0.1:8002/health/live"
    assert image.entrypoint == ["triptych"] and image.folder == image.environment["TRIPTYCH_DATA_DIR"]
