"""Evaluations: questions whose answers are known, asked as a client asks, and scored."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.people import Person
from common.tour import Stage

_RETRY = re.compile(r"Retry in (\d+\.\d+) s")


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
    """Person and question -> the first citations of the answer, or what of it was asked for."""

    @property
    def passed(self) -> bool:
        return all(score.passed for score in self.scores)


@dataclass(frozen=True)
class ModelQuestion:
    """A question for a model with this server's tools; each fact may name alternatives, `14 days|two weeks`."""

    person: str
    question: str
    facts: Sequence[str]
    source: str = ""
    """What the answer must name as its source, if anything."""
    tools: Sequence[str] = ()
    """Of which it must have called one, if there are any."""


@dataclass(frozen=True)
class Evals:
    """What a vertical registers."""

    people: Sequence[Person]
    ask: Callable[[Stage], Awaitable[Report]]
    """Asks everything through MCP and scores it without a model."""
    prompt: str | None
    """The server's prompt, with the argument `question`, that a model is given; None: the question alone."""
    model_questions: Sequence[ModelQuestion]
    model_at_least: float
    """Share of facts that a model's answers must hold."""


async def call_patiently(client: Any, tool: str, arguments: Mapping[str, Any]) -> Any:
    """The answer of a tool, which may be an error; waits when the server asks for patience."""
    while True:
        answer = await client.call_tool(tool, arguments, raise_on_error=False)
        patience = _RETRY.search(answer.content[0].text) if answer.is_error else None
        if patience is None:
            return answer
        await asyncio.sleep(float(patience[1]))


def holds(answer: str, fact: str) -> bool:
    """Whether one of the alternatives stands in the answer; a number only as a whole number."""
    text = _plain(answer)
    return any(re.search(rf"(?<![\w.]){re.escape(_plain(one))}(?!\w|\.\d)", text) for one in fact.split("|"))


def _plain(text: str) -> str:
    # Models write 60,000 with commas, narrow spaces or none, and set numbers in bold.
    without = re.sub(r"(?<=\d)[,\u202f\u00a0](?=\d{3})", "", text).replace("*", "")
    return " ".join(without.casefold().split()).replace(" %", "%")
