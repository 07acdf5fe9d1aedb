"""The control plane's program, built from the Go module proxy once and kept in the user's cache folder.

`python -m tests.services.kubernetes_binary` builds it (8 to 16 minutes on 2 cores, 3 GB of build cache);
`python -m tests.services.kubernetes_binary FILE.xz` puts a program that was built before in its place.
"""

import fcntl
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent / "control_plane"
BUILT_FROM = ("main.go", "go.mod", "go.sum")
VERSION = "v1.37.2"
STAMP = "k8s.io/component-base/version"
FLAGS = {"gitVersion": VERSION, "gitMajor": "1", "gitMinor": "37", "gitTreeState": "archive", "gitCommit": "none"}


def cached() -> Path:
    """Where the program is kept; its name changes with its sources."""
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in BUILT_FROM)).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "triptych" / f"control-plane-{VERSION}-{digest[:12]}"


def program() -> Path:
    """The program, built if need be. Raises RuntimeError when there is no Go to build it with."""
    target = cached()
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _build(target)
    return target


def _build(target: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("there is no Go 1.26 or newer to build the control plane with")
    sys.stderr.write(f"\nbuilding a Kubernetes {VERSION} control plane, once; this takes 8 to 16 minutes ...\n")
    stamps = " ".join(f"-X {STAMP}.{name}={value}" for name, value in FLAGS.items())
    flags = f"-s -w {stamps} -X {STAMP}.buildDate=1970-01-01T00:00:00Z"
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        output = Path(folder) / "program"
        command = [go, "build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", flags, "-o", str(output), "."]
        done = subprocess.run(
            ["nice", *command], cwd=SOURCES, env={**os.environ, "CGO_ENABLED": "0"}, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"go build failed: {done.stderr[-500:]}")
        output.rename(target)


def unpack(file: Path) -> None:
    """Take a program that was built elsewhere."""
    target = cached()
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with lzma.open(file) as packed, partial.open("wb") as output:
        shutil.copyfileobj(packed, output)
    partial.chmod(0o755)
    partial.rename(target)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        unpack(Path(sys.argv[1]))
    sys.stdout.write(f"{program()}\n")
