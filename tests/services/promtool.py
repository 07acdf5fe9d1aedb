"""Prometheus' own tools: on the machine, or out of Debian's package, fetched once into the user's cache folder."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

REMEDY = "apt-get install prometheus, or a Prometheus of any kind whose promtool is in the path"


def program(name: str = "promtool") -> Path:
    """Where it, or `prometheus`, is. Raises RuntimeError when it cannot be had."""
    found = os.environ.get(f"TEST_{name.upper()}") or shutil.which(name)
    if found:
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triptych"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / name
    with (cache / "promtool.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _fetch(target)
    return target


def program_or_skip(name: str = "promtool") -> Path:
    """The same in a test, which is skipped with the line that would bring it; with CI=true it fails."""
    try:
        return program(name)
    except Exception as error:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"{name} cannot be had ({error}); to bring it: {REMEDY}")


def _fetch(target: Path) -> None:
    if not shutil.which("apt-get"):
        raise RuntimeError("there is no promtool, and no apt-get to fetch it with")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        _run(["apt-get", "update", "-qq"], folder, may_fail=True)
        _run(["apt-get", "download", "-qq", "prometheus"], folder)
        [package] = Path(folder).glob("prometheus_*.deb")
        _run(["dpkg-deb", "-x", str(package), "unpacked"], folder)
        shutil.move(Path(folder) / "unpacked" / "usr" / "bin" / target.name, target)


def _run(command: list[str], folder: str, may_fail: bool = False) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode and not may_fail:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-300:]}")
