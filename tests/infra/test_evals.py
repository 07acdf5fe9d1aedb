"""`triptych evals`: the whole command on the demo company, and its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def evals(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRIPTYCH_", "KB_", "ANTHROPIC_"))
    }
    command = [sys.executable, "-m", "infra.cli", "evals", *arguments]
    environment = {**kept, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, cwd=folder)


@pytest.mark.slow
def test_the_questions_are_answered_well_enough_and_nothing_leaks(tmp_path: Path) -> None:
    done = evals(tmp_path, "--json")
    report = json.loads(done.stdout)["knowledge-base"]
    scores = {score["name"]: score for score in report["scores"]}
    assert done.returncode == 0 and report["passed"], done.stderr
    assert scores["leaks"]["value"] == 0 and scores["leaks"]["asked"] > 250 and scores["hit@3"]["asked"] > 150


def test_a_running_server_needs_keys(tmp_path: Path) -> None:
    assert "--keys" in evals(tmp_path, "--url", "http://127.0.0.1:9").stderr
    wrong = tmp_path / "keys.json"
    wrong.write_text("[]")
    done = evals(tmp_path, "--url", "http://127.0.0.1:9", "--keys", str(wrong))
    assert done.returncode == 2 and "names no keys" in done.stderr
