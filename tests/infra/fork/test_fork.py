"""A fork has all that it needs, nothing of the others, and names of its own."""

import ast
import json
import re
import time
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from common.errors import InvalidInput
from infra.fork.closure import closure, imports, modules_below
from infra.fork.command import make_fork
from infra.fork.names import checked
from infra.fork.project import ASK, distribution, requirements
from infra.fork.selection import Manifest, Selection
from tests.support.forks import COMPANY, FORKS, ROOT, others

SECONDS = 10.0
OPTIONAL = {"sentence-transformers", "torch"}
"""Gigabytes, so they have a lock of their own."""


@pytest.fixture(scope="module", params=FORKS)
def fork(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, float]:
    """A vertical, the folder of its fork, and the processor time that it took, which a busy machine does not change."""
    folder = tmp_path_factory.mktemp("forks") / FORKS[request.param]
    started = time.process_time()
    make_fork(ROOT, request.param, folder, None, dry_run=False)
    return request.param, folder, time.process_time() - started


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            yield str(path.relative_to(folder)), content.decode(errors="replace")


def test_it_is_made_in_seconds(fork: tuple[str, Path, float]) -> None:
    assert fork[2] < SECONDS


def test_no_file_mentions_the_others(fork: tuple[str, Path, float]) -> None:
    vertical, folder, _ = fork
    found = others(vertical)
    for path, text in texts(folder):
        assert not found.search(path), path
        if not path.startswith(COMPANY):
            hit = found.search(text)
            assert hit is None, f"{path}: {text[max(0, hit.start() - 60) : hit.end() + 60]!r}"


def test_everything_that_is_imported_came_along(fork: tuple[str, Path, float]) -> None:
    _, folder, _ = fork
    own = {folder.name, "infra", "tests"}
    for path, text in texts(folder):
        if not path.endswith(".py"):
            continue
        ast.parse(text)
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in imports(folder, module):
            if name.partition(".")[0] in {*own, "common", *FORKS}:
                parent = name.rpartition(".")[0] or name
                places = [folder.joinpath(*each.split(".")) for each in (name, parent)]
                assert any(place.is_dir() or place.with_suffix(".py").exists() for place in places), f"{path}: {name}"


@pytest.mark.parametrize("vertical", FORKS)
def test_the_manifest_covers_what_is_imported(vertical: str) -> None:
    manifest = Manifest.read(ROOT, vertical)
    selection, needs = Selection(ROOT, manifest), requirements(ROOT, manifest)
    known = packages_distributions()

    def wanted(foreign: frozenset[str]) -> set[str]:
        return {known[name][0].lower().replace("_", "-") for name in foreign if name in known}

    assert {*manifest.dependencies, *ASK} <= {distribution(line) for line in needs["dependencies"]}
    assert set(manifest.test) <= {distribution(line) for line in needs["test"]}
    locks = ROOT / "infra" / "fork" / "locks"
    run = locked(locks / f"{manifest.server}.lock")
    image = locked(ROOT / "infra" / "docker" / f"{manifest.server}.lock")
    dev = locked(locks / f"{manifest.server}-dev.lock")
    assert wanted(selection.code.foreign) - run - image - OPTIONAL == set()
    tests = closure(ROOT, selection.tests).foreign
    assert wanted(tests) - run - dev - OPTIONAL == set()


def locked(path: Path) -> set[str]:
    return {found.lower().replace("_", "-") for found in re.findall(r"(?m)^([A-Za-z0-9._-]+)==", path.read_text())}


@pytest.mark.parametrize("vertical", FORKS)
def test_nearly_all_tests_of_the_base_come_along(vertical: str) -> None:
    selection = Selection(ROOT, Manifest.read(ROOT, vertical))
    modules = [each for each in modules_below(ROOT, "tests/common") if each.rpartition(".")[2].startswith("test_")]
    needed = {each: {name for name in closure(ROOT, [each]).modules if name.startswith("common")} for each in modules}
    there = {each for each, names in needed.items() if names <= selection.code.modules}
    assert len(there) > 25 and len(there & selection.tests) >= 0.8 * len(there), sorted(there - selection.tests)


def test_its_names_are_its_own(fork: tuple[str, Path, float]) -> None:
    vertical, folder, _ = fork
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    kebab = folder.name.replace("_", "-")
    assert project["project"]["name"] == kebab and list(project["project"]["scripts"]) == [kebab]
    assert f"{folder.name.upper()}_PROFILE" in (folder / ".env.example").read_text()
    record = json.loads((folder / "fork.json").read_text())
    assert record["vertical"] == vertical and re.fullmatch(r"[0-9a-f]{40}|", record["commit"])


def test_its_deployment_is_whole(fork: tuple[str, Path, float]) -> None:
    import yaml

    vertical, folder, _ = fork
    kubernetes = folder / "infra" / "kubernetes"
    for path in kubernetes.rglob("kustomization.yaml"):
        given = yaml.safe_load(path.read_text())
        for place in (*given.get("resources", []), *given.get("components", [])):
            assert (path.parent / place).exists(), f"{path}: {place}"
    for path in kubernetes.rglob("*.yaml"):
        assert list(yaml.safe_load_all(path.read_text()))
    compose = yaml.safe_load((folder / "infra" / "compose" / "compose.yaml").read_text())
    kebab = folder.name.replace("_", "-")
    assert {kebab, "postgres", "valkey"} <= set(compose["services"])
    assert ("seed" in compose["services"]) == (vertical != "devops"), "the simulated cluster brings its own data"
    for service in compose["services"].values():
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
    assert (folder / "infra" / "docker" / f"{kebab}.lock").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_fork(ROOT, "devops", tmp_path / "acme_ops", None, dry_run=True)
    assert not (tmp_path / "acme_ops").exists() and "acme_ops/server.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("vertical", "name", "says"),
    [("gateway", "acme", "no vertical"), ("devops", "Acme!", "package"), ("devops", "json", "taken")],
)
def test_what_cannot_be_is_refused(vertical: str, name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=says):
        make_fork(ROOT, vertical, tmp_path / "new", name, dry_run=False)
    assert not (tmp_path / "new").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="not empty"):
        make_fork(ROOT, "devops", tmp_path, "acme_ops", dry_run=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_name_that_python_needs_is_no_name() -> None:
    assert checked("acme_docs_2") == "acme_docs_2"
    for name in ("class", "common", "infra", "tests", "triptych", "a__b", "2a", "a-b", ""):
        with pytest.raises(InvalidInput):
            checked(name)
