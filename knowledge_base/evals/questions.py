"""The questions, as their files have them."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from common.evals import ModelQuestion
from common.people import Person

HERE = Path(__file__).parent


class Expectation(BaseModel, extra="forbid", frozen=True):
    """A document that answers a question, with the words that do; a question has one for each such document."""

    question: str
    tenant: str
    document_id: str
    phrase: str
    visible_to: tuple[str, ...]
    hidden_from: tuple[str, ...]
    as_of: str | None = None
    version: int | None = None
    """The one that was current at `as_of`."""
    not_phrase: str | None = None
    """What only the version of now says."""
    facts: tuple[str, ...] = ()
    """What an answer in a model's own words must hold; the question is put to a model if there are any."""

    @property
    def key(self) -> tuple[str, str | None]:
        """What is asked."""
        return self.question, self.as_of


class Config(BaseModel, extra="forbid"):
    """Who asks, and how good is good enough."""

    people: tuple[Person, ...]
    at_least: dict[str, float]
    at_most: dict[str, float]
    model_at_least: float


@cache
def expectations() -> Sequence[Expectation]:
    """Every line of questions.jsonl."""
    lines: list[Any] = [json.loads(line) for line in (HERE / "questions.jsonl").read_text().splitlines()]
    return TypeAdapter(tuple[Expectation, ...]).validate_python(lines)


@cache
def config() -> Config:
    """What evals.json says."""
    return Config.model_validate_json((HERE / "evals.json").read_text())


def model_questions() -> list[ModelQuestion]:
    """The questions with facts, each asked by the first person who may read the answer."""
    return [
        ModelQuestion(
            person=each.visible_to[0],
            question=each.question if each.as_of is None else f"{each.question} (answer as of {each.as_of})",
            facts=each.facts,
            source=f"kb://documents/{each.document_id}/versions/",
        )
        for each in expectations()
        if each.facts
    ]
