"""The evaluations score what they say, and see a leak."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.evals import Score, holds
from common.security.access import AccessScope, may_read
from common.security.principal import Principal
from common.tour import Stage
from knowledge_base.evals import scoring
from knowledge_base.evals.questions import Expectation, config, expectations, model_questions
from knowledge_base.library import AccessInput
from tests.support.knowledge import Served, finished, served

MANIFEST = Path(__file__).parents[3] / "infra" / "seed" / "company" / "manifest.jsonl"
ALICE = Principal("alice", "fernhill", frozenset({"editor"}), frozenset({"engineering"}), "confidential")
PAT = Principal("pat", "fernhill", frozenset({"user"}), frozenset(), "public")


@dataclass(frozen=True)
class AsgiStage(Stage):
    """Plays in this process."""

    kb: Served

    @asynccontextmanager
    async def client(self, person: str) -> AsyncIterator[Any]:
        async with self.kb.client({"alice": ALICE, "pat": PAT}[person]) as client:
            yield client


def expectation(**more: Any) -> Expectation:
    values = {"question": "how hot for oolong", "tenant": "fernhill", "document_id": "tea", "phrase": "at 90 degrees"}
    people = {"visible_to": ("alice",), "hidden_from": ("pat",)}
    return Expectation.model_validate({**values, **people, **more})


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with served(tmp_path) as kb, kb.client(ALICE) as alice:
        for document_id, text in {"tea": "Oolong is brewed at 90 degrees.", "mug": "A mug holds 300 ml."}.items():
            access = {"classification": "internal", "groups": ["engineering"]}
            arguments = {"id": document_id, "title": document_id, "text": text, "access": access}
            await finished(alice, (await alice.call_tool("add_document", arguments)).structured_content["job_id"])
        yield AsgiStage("", {"alice": "", "pat": ""}, kb)


async def scores(stage: Stage, monkeypatch: pytest.MonkeyPatch, *lines: Expectation) -> tuple[dict[str, Score], str]:
    monkeypatch.setattr(scoring, "expectations", lambda: lines)
    report = await scoring.ask(stage)
    return {score.name: score for score in report.scores}, "\n".join(miss.why for miss in report.misses)


async def test_what_is_found_counts_and_what_is_not_is_explained(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    found, misses = await scores(stage, monkeypatch, expectation())
    assert (found["hit@1"].value, found["fact in the passage"].value, found["leaks"].value) == (1, 1, 0)
    assert not misses and found["leaks"].asked == 1
    other = expectation(question="mug", phrase="at 90 degrees")
    found, misses = await scores(stage, monkeypatch, expectation(phrase="at 80 degrees"), other)
    assert (found["hit@1"].value, found["MRR@10"].value, found["fact in the passage"].value) == (0.5, 0.75, 0.5)
    assert "does not say 'at 80 degrees'" in misses and "tea is at 2; the first is mug" in misses
    # Nothing was asked about the past, so that is not passed.
    assert not found["as of: hit@3"].passed and found["leaks"].passed


async def test_a_leak_is_seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    found, misses = await scores(stage, monkeypatch, expectation(visible_to=(), hidden_from=("alice",)))
    assert found["leaks"].value == 1 and not found["leaks"].passed
    for why in ("search returns it at 1", "fetch does not answer as", "list_versions does not answer as"):
        assert f"LEAK of tea: {why}" in misses


async def test_the_right_version_counts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    past = {"as_of": "2100-01-01T00:00:00Z", "hidden_from": ()}
    right, wrong = expectation(**past, version=1), expectation(**past, version=2)
    assert (await scores(stage, monkeypatch, right))[0]["as of: hit@3"].value == 1
    assert (await scores(stage, monkeypatch, wrong))[0]["as of: hit@3"].value == 0
    contradicted = expectation(**past, version=1, not_phrase="Oolong")
    assert (await scores(stage, monkeypatch, contradicted))[0]["as of: fact in the passage"].value == 0


def test_the_questions_say_who_may_read_what_as_the_rule_does() -> None:
    documents = {entry["id"]: entry for entry in map(json.loads, MANIFEST.read_text().splitlines())}
    people = {p.name: AccessScope(p.tenant, p.name, frozenset(p.groups), p.clearance) for p in config().people}
    for line in expectations():
        entry = documents[line.document_id]
        access = AccessInput.model_validate(entry["access"]).access
        readers = {name for name, scope in people.items() if may_read(scope, entry["tenant"], access)}
        assert (set(line.visible_to), set(line.hidden_from)) == (readers, set(people) - readers), line.question
        assert line.tenant == entry["tenant"] and (line.as_of is None) == (line.version is None)


def test_there_are_enough_questions() -> None:
    assert len({line.key for line in expectations()}) >= 100 and len(model_questions()) >= 25
    assert {line.tenant for line in expectations()} == {"fernhill", "marlow"}


@pytest.mark.parametrize(
    ("answer", "fact", "expected"),
    [
        ("You have **14** days.", "14 days", True),
        ("It is 60,000 euros", "60000", True),
        ("In 2014", "14", False),
        ("It is 14.5", "14", False),
        ("It is 14.", "14", True),
        ("Within two   Weeks", "14 days|two weeks", True),
        ("5% off", "5 %", True),
    ],
)
def test_a_fact_stands_in_an_answer(answer: str, fact: str, expected: bool) -> None:
    assert holds(answer, fact) is expected
