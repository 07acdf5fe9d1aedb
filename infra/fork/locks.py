"""`make lock`, after the suite's own lock files: those of forks, made ahead so that forking needs no network."""

import sys
import tempfile
import tomllib
from pathlib import Path

from infra.cli.verticals import packages
from infra.fork.project import requirements
from infra.fork.selection import Manifest
from infra.lock import ROOT, compile_lock

FOLDER = ROOT / "infra" / "fork" / "locks"


def main(uv: str) -> None:
    """Two files for each vertical: what it runs with, and what its tests and linters need. Versions are the suite's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        override = Path(folder) / "override.in"
        override.write_text("\n".join(project["tool"]["uv"]["override-dependencies"]) + "\n")
        for package in packages().values():
            if (ROOT / package / "fork.toml").exists():
                _lock(uv, Manifest.read(ROOT, package), Path(folder), override)


def _lock(uv: str, manifest: Manifest, folder: Path, override: Path) -> None:
    needs = requirements(ROOT, manifest)
    own = folder / f"{manifest.server}.in"
    own.write_text("\n".join([*needs["dependencies"], *needs["build"]]) + "\n")
    more = ["-c", "requirements.lock", "--override", str(override)]
    compile_lock(uv, str(own), f"infra/fork/locks/{manifest.server}.lock", more)
    dev = folder / f"{manifest.server}-dev.in"
    dev.write_text("\n".join([*needs["build"], *needs["test"], *needs["lint"]]) + "\n")
    more = ["-c", "requirements.lock", "-c", "requirements-dev.lock", "--override", str(override)]
    compile_lock(uv, str(dev), f"infra/fork/locks/{manifest.server}-dev.lock", more)


if __name__ == "__main__":
    main(sys.argv[1])
