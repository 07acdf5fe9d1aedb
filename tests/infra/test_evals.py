"""`triptych evals`: the whole command on the demo company, and its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.evals import Report
from infra.eval_profiles import differences, same_share

ROOT = Path(__file__).parents[2]


def evals(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRIPTYCH_", "KB_", "ANTHROPIC_"))
    }
    command = [sys.executable, "-m", "infra.cli", "evals", *arguments]
    environment = {**kept, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1_500, cwd=folder)


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


@pytest.mark.slow
def test_behind_the_gateway_the_same_is_cited(tmp_path: Path) -> None:
    done = evals(tmp_path, "--vertical", "knowledge-base", "--profile", "embedded,gateway", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    citations = [report["profiles"][profile]["knowledge-base"]["citations"] for profile in ("embedded", "gateway")]
    assert len(citations[0]) > 150 and any(citations[0].values()) and citations[0] == citations[1]
    assert report["differences"] == [] and report["same"] == 1


def test_profiles_that_cannot_be_asked_are_named(tmp_path: Path) -> None:
    for profiles, says in [("embedded,galaxy", "embedded, production, gateway"), ("production", "--url")]:
        done = evals(tmp_path, "--vertical", "knowledge-base", "--profile", profiles)
        assert done.returncode == 2 and says in " ".join(done.stderr.split())


def test_what_is_cited_instead_is_shown() -> None:
    before = Report([], [], {"ada: tea?": ["tea@1#0-5", "pot@1#0-5"], "ada: pot?": ["pot@1#0-5"]})
    after = Report([], [], {"ada: tea?": ["pot@1#0-5", "tea@1#0-5"], "ada: pot?": ["pot@1#0-5"]})
    found = {"embedded": {"kb": before}, "production": {"kb": after}}
    [difference] = differences(found, ["embedded", "production"])
    assert (difference.profile, difference.asked) == ("production", "ada: tea?")
    assert same_share(found, ["embedded", "production"], [difference]) == 0.5
