"""Programs from npm, each installed once from its lock file into the user's cache folder."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

INSTALL_SECONDS = 600


def installed(sources: Path) -> Path:
    """Folder with `node_modules` of what the lock file in `sources` names. Raises RuntimeError when there is no npm."""
    lock = (sources / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triptych"
    target = cache / f"{sources.name}-{hashlib.sha256(lock).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not target.exists():
            _install(sources, target)
    return target


def _install(sources: Path, target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"there is no npm to install {sources.name} with")
    sys.stderr.write(f"\ninstalling {sources.name}, once; this takes up to two minutes ...\n")
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        folder = Path(made) / sources.name
        shutil.copytree(sources, folder)
        command = ["nice", npm, "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if done.returncode:
            raise RuntimeError(f"npm ci failed: {done.stderr[-500:]}")
        folder.rename(target)
