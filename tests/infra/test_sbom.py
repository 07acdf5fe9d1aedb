"""The bill of materials: valid by CycloneDX's own schema, and nothing of a lock file is missing."""

import json
import re
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra.lock import IMAGES, ROOT
from infra.sbom import bill, packages, write

LOCKS = {"triptych": ROOT / "requirements-all.lock"} | {
    f"triptych-{server}": ROOT / "infra" / "docker" / f"{server}.lock" for server in IMAGES
}


@pytest.mark.parametrize("name", LOCKS)
def test_it_is_valid_and_has_everything_that_is_pinned(name: str, tmp_path: Path) -> None:
    write(LOCKS[name], tmp_path / "sbom.cdx.json", name)
    written = (tmp_path / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    lock, document = LOCKS[name].read_text(), json.loads(written)
    pinned = re.findall(r"(?m)^([\w.-]+)==(\S+)", lock)
    assert len(pinned) > 50
    assert [(each["name"], each["version"]) for each in document["components"]] == sorted(pinned)
    hashes = [each["content"] for component in document["components"] for each in component["hashes"]]
    assert len(hashes) == lock.count("--hash=sha256:")
    references = {each["bom-ref"] for each in document["components"]} | {name}
    assert all({each["ref"], *each["dependsOn"]} <= references for each in document["dependencies"])


def test_the_same_lock_gives_the_same_file_and_another_one_does_not() -> None:
    lock = LOCKS["triptych-gateway"].read_text()
    assert bill(lock, "a") == bill(lock, "a")
    assert bill(lock, "a")["serialNumber"] != bill(lock.replace("aiohttp==", "aiohttp==9"), "a")["serialNumber"]


def test_what_is_installed_tells_licences_and_who_needs_whom() -> None:
    document = bill(LOCKS["triptych"].read_text(), "triptych")
    found = {each["name"]: each for each in document["components"]}
    assert found["starlette"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert found["colorama"]["scope"] == "optional" and "win32" in found["colorama"]["properties"][0]["value"]
    needs = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    assert found["starlette"]["bom-ref"] in needs[found["mcp"]["bom-ref"]]
    with_licence = [each for each in document["components"] if "licenses" in each]
    assert len(with_licence) > 0.8 * len(document["components"])


def test_a_lock_without_hashes_is_refused() -> None:
    with pytest.raises(ValueError, match="aiohttp has no hash"):
        list(packages("aiohttp==3.1.0\n"))
    with pytest.raises(ValueError, match="nothing is pinned"):
        list(packages("# empty\n"))


def test_the_image_carries_its_own() -> None:
    dockerfile = (ROOT / "infra" / "docker" / "Dockerfile").read_text()
    assert re.search(r"python -m infra\.sbom \S+/sbom\.cdx\.json --lock server\.lock", dockerfile)
