"""Renders a fork from a checkout of the suite, and writes it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from infra.fork.deployment import SERVERS, deployed, existing
from infra.fork.names import Names
from infra.fork.project import RECORD, made
from infra.fork.prose import WORDS, unlinked, unnamed, without
from infra.fork.selection import Manifest, Selection

CODE = (".py", ".pyi")


def render(root: Path, manifest: Manifest, names: Names, commit: str) -> dict[str, bytes]:
    """Path in the fork -> content, of everything that a fork consists of."""
    selection = Selection(root, manifest)
    files: dict[str, bytes] = {}
    for path in selection.files():
        content = (root / path).read_bytes()
        text = _decoded(content)
        if text is None:
            files[names.path(path)] = content
        elif (changed := _changed(path, text, selection)) is not None:
            files[names.path(path)] = names.text(path, changed).encode()
    for path, lock in _locks(root, manifest).items():
        files[names.path(path)] = lock
    modules = {path.split("/")[1].removesuffix(".py") for path in files if _is_module(path, names.name)}
    for path, text in made(root, manifest, names, commit, modules).items():
        # What it was made of has the suite's names.
        files[path] = (text if path == RECORD else names.text(path, text)).encode()
    _finish(files, manifest, names)
    return dict(sorted(files.items()))


def _is_module(path: str, package: str) -> bool:
    parts = path.split("/")
    return parts[0] == package and path.endswith(".py") and parts[1] not in ("common", "__init__.py")


def _decoded(content: bytes) -> str | None:
    if b"\0" in content[:8192]:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _changed(path: str, text: str, selection: Selection) -> str | None:
    """What is left of a file, still with the suite's names."""
    manifest, others = selection.manifest, selection.others
    if path.startswith("infra/seed/company/"):
        return text
    if path == "common/cli/connect.py":
        return text.replace("127.0.0.1:8001", f"127.0.0.1:{SERVERS[manifest.server]}")
    if path == "infra/compose/prepare.py":
        return "".join(line for line in text.splitlines(keepends=True) if not others.search(line))
    if path.endswith(".md") or path == "NOTICE":
        return without(re.sub(r"(?m)^.*`make bench`.*\n", "", text), others)
    if path == ".dockerignore":
        kept = ("!common\n", *(f"!{other}\n" for other in WORDS if other != manifest.package))
        return "".join(line for line in text.splitlines(keepends=True) if line not in kept)
    return deployed(path, text, manifest.server)


def _locks(root: Path, manifest: Manifest) -> dict[str, bytes]:
    """Made ahead by `make lock`, so that a fork needs no network."""
    folder = root / "infra" / "fork" / "locks"
    sources = {
        "requirements.lock": folder / f"{manifest.server}.lock",
        "requirements-dev.lock": folder / f"{manifest.server}-dev.lock",
        "requirements-uv.lock": root / "requirements-uv.lock",
        f"infra/docker/{manifest.server}.lock": root / "infra" / "docker" / f"{manifest.server}.lock",
    }
    return {path: source.read_bytes() for path, source in sources.items() if source.exists()}


def _finish(files: dict[str, bytes], manifest: Manifest, names: Names) -> None:
    """What depends on what else came along: components of overlays, links."""
    kept = {path.removeprefix("infra/kubernetes/").rpartition("/")[0] for path in files if "kubernetes/comp" in path}
    alone = {folder for folder in kept if f"infra/kubernetes/{folder}/kustomization.yaml" in files}
    for folder in list(alone):
        listed = re.findall(r"(?m)^  - (\S+\.yaml)$", files[f"infra/kubernetes/{folder}/kustomization.yaml"].decode())
        if any(f"infra/kubernetes/{folder}/{each}" not in files for each in listed):
            del files[f"infra/kubernetes/{folder}/kustomization.yaml"]
            alone.discard(folder)
    for path in [path for path in files if path.startswith("infra/kubernetes/overlays/")]:
        files[path] = existing(files[path].decode(), alone).encode()
    for path in [path for path in files if path.endswith(".md")]:
        here = Path(path).parent

        def exists(target: str, here: Path = here) -> bool:
            wanted = os.path.normpath(here / target)
            return wanted in files or any(each.startswith(f"{wanted}/") for each in files)

        text = unnamed(unlinked(files[path].decode(), exists), names.name, _known(files))
        files[path] = text.encode()


def _known(files: dict[str, bytes]) -> Callable[[str], bool]:
    return lambda named: any(fnmatch(path, f"{named}*") for path in files)


def formatted(files: dict[str, bytes]) -> dict[str, bytes]:
    """Imports in order and lines of the right length, since names have other lengths; without ruff, as they are."""
    ruff = find_ruff()
    if ruff is None:
        return files
    with tempfile.TemporaryDirectory(prefix="fork-") as folder:
        write(files, Path(folder))
        for command in (["check", "--select", "I", "--fix"], ["format"]):
            # What it cannot read, such as a file with marks of a conflict, stays as it is.
            arguments = [ruff, *command, "--no-cache", "--quiet", "."]
            subprocess.run(arguments, cwd=folder, capture_output=True)  # noqa: S603 - a program of our environment
        return {
            path: (Path(folder) / path).read_bytes() if path.endswith(CODE) else content
            for path, content in files.items()
        }


def find_ruff() -> str | None:
    """Of this environment, or of the machine."""
    beside = Path(sys.executable).with_name("ruff")
    return str(beside) if beside.exists() else shutil.which("ruff")


def write(files: dict[str, bytes], folder: Path) -> None:
    """Everything below a folder; scripts can be run."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if content.startswith(b"#!"):
            target.chmod(0o755)
