"""`make lock`: renews the lock files. They carry hashes and name no registry."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = {
    "requirements.lock": ["--group", "{project}:build"],
    "requirements-dev.lock": ["--group", "{project}:dev", "-c", "requirements.lock"],
    "requirements-all.lock": ["--group", "{project}:build", "--all-extras", "-c", "requirements.lock"],
}
OPTIONS = ["--quiet", "--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--no-annotate"]


def compile_lock(uv: str, source: str, output: str, more: list[str]) -> None:
    """Resolve one file."""
    command = [uv, "pip", "compile", *OPTIONS, *more, "--upgrade", source, "--output-file", output]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own command


def main(uv: str) -> None:
    """Resolve all of them."""
    with tempfile.TemporaryDirectory() as folder:
        # uv reads no groups from a project that it does not manage, so it gets a copy that says nothing of that.
        project = Path(folder) / "pyproject.toml"
        project.write_text(re.sub(r"(?m)^managed = false$", "", (ROOT / "pyproject.toml").read_text()))
        for output, more in FILES.items():
            compile_lock(uv, str(project), output, [part.format(project=project) for part in more])
        tool = Path(folder) / "uv.in"
        tool.write_text("uv\n")
        compile_lock(uv, str(tool), "requirements-uv.lock", [])


if __name__ == "__main__":
    main(sys.argv[1])
