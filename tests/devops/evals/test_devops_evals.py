"""The questions about the cluster are answered, and lost as soon as what they ask for is not there."""

from pathlib import Path
from typing import Any

import pytest

from common.evals import Report
from common.tool_evals import Questions
from devops.adapters.simulated import seed
from devops.evals import questions
from tests.support.evals import stage_of, with_wrong_answers, without_hidden
from tests.support.operations import served

INCIDENTS = {
    "alert-engine": "Why does alert-engine crash?",
    "ingest-api": "Which image can ingest-api not pull?",
    "web-portal": "Why does the new release of web-portal not become ready?",
    "billing-api": "Why does a replica of billing-api wait?",
    "load-test": "Why are there only three replicas of ingest-replay instead of five?",
}


async def asked(folder: Path, monkeypatch: pytest.MonkeyPatch, about: Questions) -> Report:
    """All of it asked of a fresh cluster of the demo company."""
    monkeypatch.setenv("DEVOPS_TENANT", "fernhill")
    monkeypatch.setenv("DEVOPS_NAMESPACE_GROUPS", '{"*": ["engineering"]}')
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    async with served(folder) as ops:
        return await about.ask(stage_of(about, ops))


def lost(report: Report) -> set[str]:
    return {miss.question for miss in report.misses}


async def test_every_question_is_answered_and_nothing_leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = await asked(tmp_path, monkeypatch, questions())
    assert report.misses == [] and report.passed
    scores = {score.name: score for score in report.scores}
    assert scores["questions"].asked >= 25 and scores["facts"].asked > 60 and scores["leaks"].asked > 60


async def test_wrong_answers_score_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = await asked(tmp_path, monkeypatch, with_wrong_answers(questions()))
    scores = {score.name: score for score in report.scores}
    assert scores["facts"].value == scores["questions"].value == 0 and not report.passed
    assert lost(report) == {each.question for each in questions().questions}


@pytest.mark.parametrize("incident", INCIDENTS)
async def test_an_incident_that_is_not_there_loses_its_questions(
    incident: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, create = seed.change, seed._create

    def other_changes(state: Any, name: str, *more: Any, **values: Any) -> None:
        if name != incident:
            change(state, name, *more, **values)

    def other_objects(state: Any, api: str, kind: str, name: str, *more: Any, **body: Any) -> Any:
        return None if (kind, name) == ("ResourceQuota", incident) else create(state, api, kind, name, *more, **body)

    monkeypatch.setattr(seed, "change", other_changes)
    monkeypatch.setattr(seed, "_create", other_objects)
    everything = "Which of our services are not healthy?"
    about = [each for each in questions().questions if each.question in {everything, *INCIDENTS.values()}]
    report = await asked(tmp_path, monkeypatch, without_hidden(questions(), about))
    assert lost(report) == {everything, INCIDENTS[incident]} and not report.passed


def test_each_question_has_tools_facts_and_somebody_who_may_not_know() -> None:
    asked_here = questions()
    people = {person.name for person in asked_here.people}
    assert len({each.question for each in asked_here.questions}) == len(asked_here.questions) >= 25
    for each in asked_here.questions:
        assert each.facts and all(call.shows for call in each.calls), each.question
        assert {each.person, *each.hidden_from} <= people and each.hidden_from, each.question
    assert len(asked_here.evals().model_questions) >= 25
