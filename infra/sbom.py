"""`make sbom`: what is installed, as CycloneDX 1.6 in JSON, from the lock files with hashes: for scanners and records.

`python -m infra.sbom FOLDER` writes one file for the suite and one for each image, `python -m infra.sbom FILE --lock
LOCK --name NAME` a single one. The same lock file gives the same file. Licences and who needs whom are told by what
is installed beside it.
"""

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions, version
from pathlib import Path
from typing import Any

from infra.lock import IMAGES, ROOT, name_of

OWN = "triptych"
PINNED = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?: ; (?P<marker>[^\\\n]+?))?[ \t]*\\?$", re.MULTILINE
)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Package:
    """A pinned distribution, its files' hashes, and where alone it is installed."""

    name: str
    version: str
    marker: str | None
    hashes: tuple[str, ...]

    @property
    def reference(self) -> str:
        """As package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def packages(lock: str) -> Iterator[Package]:
    """What a lock file pins. Raises ValueError for a package without a hash, or for none at all."""
    found = list(PINNED.finditer(lock))
    if not found:
        raise ValueError("nothing is pinned")
    for start, after in zip(found, [*found[1:], None], strict=True):
        hashes = tuple(HASH.findall(lock[start.end() : after.start() if after else None]))
        if not hashes:
            raise ValueError(f"{start['name']} has no hash")
        yield Package(normal(start["name"]), start["version"], start["marker"], hashes)


def normal(name: str) -> str:
    """The one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bill(lock: str, name: str) -> dict[str, Any]:
    """The document."""
    pinned = sorted(packages(lock), key=lambda each: (each.name, each.version))
    there = {(normal(each.name), each.version): each for each in distributions() if each.name}
    known = {each: there.get((each.name, each.version)) for each in pinned}
    own = {"type": "application", "bom-ref": name, "name": name, "version": version(OWN)}
    needs = [_needed(each, installed, pinned) for each, installed in known.items() if installed]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name + lock)}",
        "version": 1,
        "metadata": {"component": {**own, "licenses": [{"license": {"id": "Apache-2.0"}}]}},
        "components": [_component(each, installed) for each, installed in known.items()],
        "dependencies": [{"ref": name, "dependsOn": [each.reference for each in pinned]}, *needs],
    }


def _component(package: Package, installed: Distribution | None) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": package.reference,
        "name": package.name,
        "version": package.version,
        # What is for another system only is not in an image.
        "scope": "optional" if package.marker else "required",
        "hashes": [{"alg": "SHA-256", "content": each} for each in package.hashes],
        **({"licenses": found} if installed and (found := list(_licences(installed))) else {}),
        "purl": package.reference,
        **({"properties": [{"name": "pip:marker", "value": package.marker}]} if package.marker else {}),
    }


def _licences(installed: Distribution) -> Iterator[dict[str, Any]]:
    """An expression of SPDX if the package has one, else the names that it gives itself."""
    if expressions := installed.metadata.get_all("License-Expression"):
        yield {"expression": expressions[0]}
        return
    for classifier in installed.metadata.get_all("Classifier") or []:
        if classifier.startswith("License ::"):
            yield {"license": {"name": classifier.rpartition(" :: ")[2]}}


def _needed(package: Package, installed: Distribution, pinned: Sequence[Package]) -> dict[str, Any]:
    wanted = {normal(name_of(line)) for line in installed.requires or [] if "extra ==" not in line}
    return {"ref": package.reference, "dependsOn": [each.reference for each in pinned if each.name in wanted]}


def write(lock: Path, output: Path, name: str) -> None:
    """One file."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(bill(lock.read_text(), name), indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m infra.sbom", description="Write CycloneDX 1.6 from lock files.")
    parser.add_argument("output", type=Path, help="a folder; with --lock a file")
    parser.add_argument("--lock", type=Path, help="only this lock file")
    parser.add_argument("--name", help="what is installed from it")
    given = parser.parse_args()
    if given.lock:
        write(given.lock, given.output, given.name or given.lock.stem)
        return
    everything = ROOT / "requirements-all.lock"
    write(everything if everything.exists() else ROOT / "requirements.lock", given.output / f"{OWN}.cdx.json", OWN)
    for server in IMAGES:
        name = f"{OWN}-{server}"
        write(ROOT / "infra" / "docker" / f"{server}.lock", given.output / f"{name}.cdx.json", name)
    print(*sorted(str(path) for path in given.output.glob("*.cdx.json")), sep="\n", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
