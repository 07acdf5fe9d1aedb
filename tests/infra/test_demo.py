"""`triptych demo --once`: the whole tour through real processes, and an exit code that is honest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli.verticals import load_vertical, server_names

ROOT = Path(__file__).parents[2]


def demo(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    own = tuple(str(load_vertical(name).settings.model_config.get("env_prefix")) for name in server_names())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIPTYCH_", *own))}
    command = [sys.executable, "-m", "infra.cli", "demo", "--once", "--data-dir", str(folder)]
    environment = {**kept, **settings, "COLUMNS": "120", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=folder)


@pytest.mark.slow
def test_the_tour_passes_and_passes_again_on_the_same_folder(tmp_path: Path) -> None:
    for _ in range(2):
        done = demo(tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "checks passed" in done.stdout and "✗" not in done.stdout
    audit = [sys.executable, "-m", "infra.cli", "audit", "verify"]
    environment = {**os.environ, "TRIPTYCH_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    assert subprocess.run(audit, env=environment, cwd=tmp_path, timeout=120).returncode == 0


@pytest.mark.slow
def test_a_step_that_is_not_as_it_should_be_fails_the_demo(tmp_path: Path) -> None:
    done = demo(tmp_path, TRIPTYCH_RATE_LIMIT_PER_SECOND="0.1", TRIPTYCH_RATE_LIMIT_BURST="3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗" in done.stdout and "checks failed" in done.stdout
