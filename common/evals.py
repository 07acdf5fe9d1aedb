"""Evaluations: questions whose answers are known, asked as a client asks, and scored."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from common.people import Person
from common.tour import Stage


@dataclass(frozen=True)
class Score:
    """One number, and how good it must be."""

    name: str
    value: float
    asked: int
    at_least: float | None = None
    at_most: float | None = None

    @property
    def passed(self) -> bool:
        """Nothing that was not asked is passed."""
        if not self.asked:
            return False
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)


@dataclass(frozen=True)
class Miss:
    """A question that was not answered as it should be, and why."""

    person: str
    question: str
    why: str


@dataclass(frozen=True)
class Report:
    """What came of the questions of one vertical."""

    scores: Sequence[Score]
    misses: Sequence[Miss]
    citations: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Person and question -> the first citations of the answer."""

    @property
    def passed(self) -> bool:
        return all(score.passed for score in self.scores)


@dataclass(frozen=True)
class ModelQuestion:
    """A question for a model with this server's tools; each fact may name alternatives, `14 days|two weeks`."""

    person: str
    question: str
    facts: Sequence[str]
    source: str
    """What the answer must name as its source."""


@dataclass(frozen=True)
class Evals:
    """What a vertical registers."""

    people: Sequence[Person]
    ask: Callable[[Stage], Awaitable[Report]]
    """Asks everything through MCP and scores it without a model."""
    prompt: str
    """The server's prompt, with the argument `question`, that a model is given."""
    model_questions: Sequence[ModelQuestion]
    model_at_least: float
    """Share of facts that a model's answers must hold."""


def holds(answer: str, fact: str) -> bool:
    """Whether one of the alternatives stands in the answer; a number only as a whole number."""
    text = _plain(answer)
    return any(re.search(rf"(?<![\w.]){re.escape(_plain(one))}(?!\w|\.\d)", text) for one in fact.split("|"))


def _plain(text: str) -> str:
    # Models write 60,000 with commas, narrow spaces or none, and set numbers in bold.
    without = re.sub(r"(?<=\d)[,\u202f\u00a0](?=\d{3})", "", text).replace("*", "")
    return " ".join(without.casefold().split()).replace(" %", "%")
