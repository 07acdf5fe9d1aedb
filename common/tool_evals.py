"""Questions that tools answer: which calls a good answer needs, what they must show, and from whom it is hidden.

A vertical keeps them in a folder: `evals.json` says who asks and how good is good enough, each line of
`questions.jsonl` is a question. What is expected stands beside the calls, and counts only where the running server
answers it.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel, Field

from common.evals import Evals, Miss, ModelQuestion, Report, Score, call_patiently, holds
from common.people import Person
from common.tour import Stage

MAX_SHOWN = 300
"""Characters of a value or an error in a report."""


class Call(BaseModel, extra="forbid", frozen=True):
    """A tool, and what must stand where in its answer. An argument `$0/items/0/id` is taken from an earlier answer."""

    tool: str
    arguments: dict[str, Any] = {}
    shows: dict[str, tuple[str, ...]] = {}
    """Place, as `at` reads it -> texts, each with its alternatives: `14 days|two weeks`."""


class Question(BaseModel, extra="forbid", frozen=True):
    """What somebody asks, and the calls that answer it."""

    question: str
    person: str
    calls: tuple[Call, ...] = Field(min_length=1)
    never: tuple[str, ...] = ()
    """Text that no answer may hold."""
    hidden_from: tuple[str, ...] = ()
    """People to whom the same calls must show nothing of it."""
    facts: tuple[str, ...] = ()
    """What an answer in a model's own words must hold."""


class Questions(BaseModel, extra="forbid", frozen=True):
    """All of a vertical."""

    people: tuple[Person, ...]
    at_least: dict[str, float]
    at_most: dict[str, float]
    model_at_least: float
    prompt: str | None = None
    questions: tuple[Question, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> "Questions":
        """The two files of a folder. Raises ValidationError for what they cannot hold."""
        lines = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
        return cls.model_validate({**json.loads((folder / "evals.json").read_text()), "questions": lines})

    def evals(self) -> Evals:
        """What a vertical registers."""
        asked = [
            ModelQuestion(each.person, each.question, each.facts, tools=[call.tool for call in each.calls])
            for each in self.questions
            if each.facts
        ]
        return Evals(self.people, self.ask, self.prompt, asked, self.model_at_least)

    async def ask(self, stage: Stage) -> Report:
        """Everybody who has a token asks their questions, and then what is hidden from them."""
        runs = [Run(question) for question in self.questions if question.person in stage.tokens]
        names = [person.name for person in self.people if person.name in stage.tokens]
        await asyncio.gather(*(_answer(stage, name, runs) for name in names))
        await asyncio.gather(*(_try_hidden(stage, name, runs) for name in names))
        scores = [
            self._score(name, [value for run in runs for value in run.seen.get(name, [])]) for name in self._names
        ]
        citations = {f"{run.question.person}: {run.question.question}": run.values for run in runs}
        return Report(scores, [miss for run in runs for miss in run.misses], citations)

    @property
    def _names(self) -> list[str]:
        return [*self.at_least, *self.at_most]

    def _score(self, name: str, seen: Sequence[float]) -> Score:
        value = sum(seen) if name in self.at_most else fmean(seen) if seen else 0.0
        return Score(name, value, len(seen), self.at_least.get(name), self.at_most.get(name))


@dataclass
class Run:
    """A question as it was asked: the calls as they were made, and what was seen."""

    question: Question
    made: list[tuple[Call, dict[str, Any]]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    seen: dict[str, list[float]] = field(default_factory=dict)
    misses: list[Miss] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    """What was found, by which two profiles are compared."""

    def note(self, name: str, value: float) -> None:
        self.seen.setdefault(name, []).append(value)

    def miss(self, person: str, why: str) -> None:
        self.misses.append(Miss(person, self.question.question, why))


async def _answer(stage: Stage, person: str, runs: Sequence[Run]) -> None:
    async with stage.client(person) as client:
        for run in runs:
            if run.question.person == person:
                for call in run.question.calls:
                    await _make(client, call, run)
                run.note("questions", float(not run.misses))


async def _make(client: Any, call: Call, run: Run) -> None:
    """One call; what it does not show is missed."""
    missing = [(place, text) for place, texts in call.shows.items() for text in texts]
    try:
        arguments = {name: _filled(value, run.answers) for name, value in call.arguments.items()}
    except LookupError as error:
        run.answers.append(None)
        _note(run, call, missing, f"{call.tool} cannot be called: {error}")
        return
    run.made.append((call, arguments))
    answer = await call_patiently(client, call.tool, arguments)
    run.answers.append(answer.structured_content)
    if answer.is_error:
        _note(run, call, missing, f"{call.tool} failed: {answer.content[0].text[:MAX_SHOWN]}")
        return
    for place, text in missing:
        found = [value for value in map(as_text, at(answer.structured_content, place)) if holds(value, text)]
        run.note("facts", float(bool(found)))
        # Not the whole value: a log has other lines a second later.
        run.values += [f"{text} at {place}"] if found else []
        if not found:
            run.miss(run.question.person, f"{call.tool} does not show {text!r} at {place}: {_there(answer, place)}")
    said = as_text(answer.structured_content)
    for text in run.question.never:
        if holds(said, text):
            run.miss(run.question.person, f"{call.tool} shows {text!r}")


def _note(run: Run, call: Call, missing: Sequence[tuple[str, str]], why: str) -> None:
    for _ in missing:
        run.note("facts", 0.0)
    run.miss(run.question.person, why)


def _there(answer: Any, place: str) -> str:
    found = [as_text(value) for value in at(answer.structured_content, place)]
    return "; ".join(found)[:MAX_SHOWN] if found else "there is nothing"


async def _try_hidden(stage: Stage, person: str, runs: Sequence[Run]) -> None:
    """The same calls, with the ids that the one who may see it was given."""
    async with stage.client(person) as client:
        for run in runs:
            for call, arguments in run.made if person in run.question.hidden_from else ():
                answer = await call_patiently(client, call.tool, arguments)
                shown = [] if answer.is_error else list(_shown(call, answer.structured_content))
                run.note("leaks", float(bool(shown)))
                if shown:
                    run.miss(person, f"LEAK: {call.tool} shows {', '.join(shown)}")


def _shown(call: Call, answer: Any) -> Iterator[str]:
    for place, texts in call.shows.items():
        for text in texts:
            if any(holds(as_text(value), text) for value in at(answer, place)):
                yield f"{text!r} at {place}"


def _filled(value: Any, answers: Sequence[Any]) -> Any:
    """An argument; raises LookupError if the answer that it is taken from has nothing there."""
    if not (isinstance(value, str) and value.startswith("$")):
        return value
    number, _, place = value[1:].partition("/")
    found = at(answers[int(number)], place)
    if not found:
        raise LookupError(f"the answer before has no {place}")
    return found[0]


def at(answer: Any, place: str) -> list[Any]:
    """What stands at a place of an answer: `items/name=web-portal/ready`, `items/0/id`, `causes/*/cause`, `items/#`.

    `*` is each entry, `field=value` each with that value, `#` how many there are.
    """
    found = [answer]
    for step in place.split("/"):
        found = [each for one in found for each in _step(one, step)]
    return found


def _step(value: Any, step: str) -> Sequence[Any]:
    if step == "#":
        return [len(value)] if isinstance(value, list | dict) else []
    if isinstance(value, Mapping):
        return list(value.values()) if step == "*" else [value[step]] if step in value else []
    if not isinstance(value, list):
        return []
    if step == "*":
        return value
    name, equals, wanted = step.partition("=")
    if equals:
        return [each for each in value if isinstance(each, Mapping) and as_text(each.get(name)) == wanted]
    return value[int(step) :][:1] if step.isdecimal() else []


def as_text(value: Any) -> str:
    """A value as it is compared."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
