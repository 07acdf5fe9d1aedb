"""`make lock`: renews the lock files. They carry hashes and name no registry."""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from infra.cli.verticals import packages

ROOT = Path(__file__).parents[1]
FILES = {
    "requirements.lock": ["--group", "{project}:build"],
    "requirements-dev.lock": ["--group", "{project}:dev", "-c", "requirements.lock"],
    "requirements-all.lock": ["--group", "{project}:build", "--extra", "all", "-c", "requirements.lock"],
}
IMAGES = {name: package.replace(".", "/") for name, package in packages().items()}
"""Server -> folder of the `fork.toml` that says what it stands on."""
OPTIONS = ["--quiet", "--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--no-annotate"]


def compile_lock(uv: str, source: str, output: str, more: list[str]) -> None:
    """Resolve one file."""
    command = [uv, "pip", "compile", *OPTIONS, *more, "--upgrade", source, "--output-file", output]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own command


def image_requirements(folder: str) -> list[str]:
    """Requirements of one server's image, as pyproject.toml words them, and what builds the project itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needs = tomllib.loads((ROOT / folder / "fork.toml").read_text())
    wanted = set(needs["dependencies"])
    base = [line for line in project["project"]["dependencies"] if name_of(line) in wanted]
    if missing := wanted - {name_of(line) for line in base}:
        raise ValueError(f"{folder}/fork.toml: not in pyproject.toml: {', '.join(sorted(missing))}")
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    build: list[Any] = project["dependency-groups"]["build"]
    return sorted({*base, *build, *(line for extra in needs["extras"] for line in extras[extra])})


def name_of(requirement: str) -> str:
    """Of the distribution that a requirement asks for."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def main(uv: str) -> None:
    """Resolve all of them."""
    with tempfile.TemporaryDirectory() as folder:
        # uv reads no groups from a project that it does not manage, so it gets a copy that says nothing of that.
        project = Path(folder) / "pyproject.toml"
        project.write_text(re.sub(r"(?m)^managed = false$", "", (ROOT / "pyproject.toml").read_text()))
        for output, more in FILES.items():
            compile_lock(uv, str(project), output, [part.format(project=project) for part in more])
        for server, place in IMAGES.items():
            wanted = Path(folder) / f"{server}.in"
            wanted.write_text("\n".join(image_requirements(place)) + "\n")
            compile_lock(uv, str(wanted), f"infra/docker/{server}.lock", ["-c", "requirements-all.lock"])
        tool = Path(folder) / "uv.in"
        tool.write_text("uv\n")
        compile_lock(uv, str(tool), "requirements-uv.lock", [])
    if (ROOT / "infra" / "fork").is_dir():
        # A fork makes no forks.
        subprocess.run([sys.executable, "-m", "infra.fork.locks", uv], cwd=ROOT, check=True)  # noqa: S603


if __name__ == "__main__":
    main(sys.argv[1])
