"""Questions that tools answer: what is there counts, what is not is explained, and a leak is seen."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from common.tool_evals import Call, Question, Questions, at
from common.tour import Stage
from tests.support.evals import STAGE, TEAS, TeaStage


def person(name: str) -> dict[str, Any]:
    return {"name": name, "about": "", "tenant": "acme", "roles": [], "groups": [], "clearance": "internal"}


def asked(*questions: Question) -> Questions:
    given = {"people": [person("alice"), person("pat")], "model_at_least": 0.8}
    limits = {"at_least": {"questions": 1, "facts": 1}, "at_most": {"leaks": 0}}
    return Questions.model_validate({**given, **limits, "questions": questions})


HEAT = Call(tool="list_teas", shows={"items/name=oolong/degrees": ("90|ninety",)})


async def score(stage: Stage, *questions: Question) -> tuple[dict[str, float], str]:
    report = await asked(*questions).ask(stage)
    return {each.name: each.value for each in report.scores}, "\n".join(miss.why for miss in report.misses)


async def test_what_is_there_counts() -> None:
    follow = Call(tool="brew", arguments={"name": "$0/items/1/name"}, shows={"said": ("sencha is ready",)})
    question = Question(question="how hot?", person="alice", calls=(HEAT, follow), hidden_from=("pat",))
    found, misses = await score(STAGE, question.model_copy(update={"calls": (HEAT,)}))
    assert found == {"questions": 1, "facts": 1, "leaks": 0} and not misses
    found, misses = await score(STAGE, question)
    # Pat may call `brew`, which answers with what alice was told.
    assert found == {"questions": 1, "facts": 1, "leaks": 1}
    assert misses == "LEAK: brew shows 'sencha is ready' at said"


async def test_two_profiles_are_compared_by_what_was_found() -> None:
    wrong = HEAT.model_copy(update={"shows": {"items/#": ("3", "2"), "fresh": ("true",)}})
    report = await asked(Question(question="how hot?", person="alice", calls=(wrong,))).ask(STAGE)
    assert report.citations == {"alice: how hot?": ["2 at items/#", "true at fresh"]}


async def test_what_is_not_there_is_explained() -> None:
    wrong = HEAT.model_copy(update={"shows": {"items/name=oolong/degrees": ("9", "90"), "items/#": ("3",)}})
    follow = Call(tool="brew", arguments={"name": "$0/items/7/name"}, shows={"said": ("ready",)})
    unknown = Call(tool="pour", shows={"said": ("poured",)})
    never = Question(question="which?", person="alice", calls=(HEAT,), never=("sencha",))
    calls = Question(question="how hot?", person="alice", calls=(wrong, follow, unknown))
    found, misses = await score(STAGE, calls, never)
    assert found["questions"] == 0 and found["facts"] == 2 / 6
    for why in (
        "list_teas does not show '9' at items/name=oolong/degrees: 90",
        "list_teas does not show '3' at items/#: 2",
        "brew cannot be called: the answer before has no items/7/name",
        "pour failed: ",
        "list_teas shows 'sencha'",
    ):
        assert why in misses


async def test_a_leak_is_seen() -> None:
    question = Question(question="how hot?", person="alice", calls=(HEAT,), hidden_from=("pat",))
    found, misses = await score(TeaStage("", STAGE.tokens, strict=False), question)
    assert found["leaks"] == 1 and misses == "LEAK: list_teas shows '90|ninety' at items/name=oolong/degrees"
    assert (await score(STAGE, question))[0]["leaks"] == 0


async def test_who_has_no_token_is_not_asked_and_so_nothing_is_passed() -> None:
    report = await asked(Question(question="?", person="alice", calls=(HEAT,))).ask(TeaStage("", {"pat": ""}))
    assert not report.passed and all(score.asked == 0 for score in report.scores)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("items/#", [2]),
        ("items/*/name", ["oolong", "sencha"]),
        ("items/degrees=70/name", ["sencha"]),
        ("items/0/degrees", [90]),
        ("fresh", [True]),
        ("*/#", [2]),
        ("items/9/name", []),
        ("items/name", []),
        ("fresh/0/#", []),
    ],
)
def test_places(place: str, found: list[Any]) -> None:
    assert at(TEAS, place) == found


@settings(max_examples=50)
@given(
    st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)),
    st.text(),
)
def test_any_place_of_any_answer_can_be_looked_for(answer: Any, place: str) -> None:
    at(answer, place)


def test_files_with_more_than_is_known_are_refused(tmp_path: Path) -> None:
    (tmp_path / "evals.json").write_text('{"people": [], "at_least": {}, "at_most": {}, "model_at_least": 1}')
    line = '{"question": "?", "person": "alice", "calls": [{"tool": "a", "show": {}}]}'
    (tmp_path / "questions.jsonl").write_text(line)
    with pytest.raises(ValidationError, match="show"):
        Questions.read(tmp_path)
