"""`triptych evals`: the whole command on the demo company, and its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.evals import Evals, ModelQuestion, Report
from common.people import Person
from common.tour import Stage
from infra.cli.verticals import load_vertical, vertical_names
from infra.eval_profiles import differences, same_share
from infra.evals import report_of
from tests.services.messages_api import KEY, MessagesApi, serving, text, tool_use
from tests.support.evals import STAGE

ROOT = Path(__file__).parents[2]


def evals(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRIPTYCH_", "KB_", "ANTHROPIC_"))
    }
    command = [sys.executable, "-m", "infra.cli", "evals", *arguments]
    environment = {**kept, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1_500, cwd=folder)


@pytest.fixture
def messages() -> Iterator[MessagesApi]:
    with serving() as found:
        yield found


@pytest.mark.slow
def test_the_questions_are_answered_well_enough_and_nothing_leaks(tmp_path: Path) -> None:
    done = evals(tmp_path, "--json")
    reports = json.loads(done.stdout)
    assert done.returncode == 0 and all(report["passed"] for report in reports.values()), done.stderr
    assert set(reports) == set(vertical_names())
    scores = {name: {score["name"]: score for score in report["scores"]} for name, report in reports.items()}
    first = scores.pop("knowledge-base")
    assert first["leaks"]["value"] == 0 and first["leaks"]["asked"] > 250 and first["hit@3"]["asked"] > 150
    for each in scores.values():
        assert each["questions"]["value"] == 1 and each["questions"]["asked"] >= 25
        assert each["leaks"]["value"] == 0 and each["leaks"]["asked"] > 60


def test_a_person_is_the_same_in_all_questions() -> None:
    known: dict[str, Person] = {}
    for name in vertical_names():
        registered = load_vertical(name).evals
        for person in registered().people if registered else ():
            assert known.setdefault(person.name, person) == person, person.name


async def test_a_model_is_scored_by_what_it_says_and_looks_up(
    messages: MessagesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", messages.url)
    questions = [
        ModelQuestion("alice", "how hot?", ("90|ninety", "oolong"), tools=("list_teas",)),
        ModelQuestion("alice", "which?", ("sencha",), tools=("list_teas",)),
        ModelQuestion("nobody", "not asked", ("x",)),
    ]
    messages.says(tool_use("list_teas"))
    messages.says(text("Oolong wants 90 degrees."))
    messages.says(text("I do not know."))
    own = Evals([], nothing_asked, None, questions, 0.8)
    report = await report_of(own, STAGE, "a-model")
    assert {score.name: (score.value, score.asked) for score in report.scores} == {
        "model: facts": (2 / 3, 3),
        "model: calls a tool that answers": (0.5, 2),
    }
    [miss] = report.misses
    assert miss.why == "a-model: does not say 'sencha'; calls none of list_teas" and not report.passed
    # With the question alone, since that server has no prompt for it.
    assert messages.requests[0]["messages"][0] == {"role": "user", "content": "how hot?"}


async def test_a_model_that_was_asked_nothing_has_not_passed(
    messages: MessagesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    own = Evals([], nothing_asked, None, [ModelQuestion("nobody", "?", ("x",))], 0.8)
    assert not (await report_of(own, STAGE, "a-model")).passed


async def nothing_asked(stage: Stage) -> Report:
    return Report([], [])


def test_a_running_server_needs_keys(tmp_path: Path) -> None:
    assert "--keys" in evals(tmp_path, "--url", "http://127.0.0.1:9").stderr
    wrong = tmp_path / "keys.json"
    wrong.write_text("[]")
    one = ("--vertical", "knowledge-base", "--url", "http://127.0.0.1:9")
    done = evals(tmp_path, *one, "--keys", str(wrong))
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
