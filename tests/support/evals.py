"""Evaluations asked of a server in this process, each person as the file of people says."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations

from common.people import Person
from common.security.principal import Principal
from common.tool_evals import Question, Questions
from common.tour import Stage
from tests.support.serving import Served

TEAS = {"items": [{"name": "oolong", "degrees": 90}, {"name": "sencha", "degrees": 70}], "fresh": True}
READS = ToolAnnotations(readOnlyHint=True)


@dataclass(frozen=True)
class TeaStage(Stage):
    """A small server in this process; `strict`: pat is shown nothing."""

    strict: bool = True

    @asynccontextmanager
    async def client(self, person: str) -> AsyncIterator[Any]:
        server: FastMCP[Any] = FastMCP("tea")

        @server.tool(annotations=READS)
        def list_teas() -> dict[str, Any]:
            if person == "pat" and self.strict:
                raise ToolError("You may not see teas.")
            return TEAS

        @server.tool(annotations=READS)
        def brew(name: str) -> dict[str, Any]:
            return {"said": f"{name} is ready"}

        async with Client(server) as client:
            yield client


STAGE = TeaStage("", {"alice": "", "pat": ""})


@dataclass(frozen=True)
class AsgiStage(Stage):
    """Plays through the server's real ASGI application."""

    served: Served
    people: Mapping[str, Person]

    @asynccontextmanager
    async def client(self, person: str) -> AsyncIterator[Any]:
        who = self.people[person]
        rights = (frozenset(who.roles), frozenset(who.groups), who.clearance)
        async with self.served.client(Principal(who.name, who.tenant, *rights)) as client:
            yield client


def stage_of(questions: Questions, served: Served) -> AsgiStage:
    """With everybody who asks."""
    people = {person.name: person for person in questions.people}
    return AsgiStage("", dict.fromkeys(people, ""), served, people)


def without_hidden(questions: Questions, chosen: Sequence[Question]) -> Questions:
    """Only these, of those who may know."""
    kept = [each.model_copy(update={"hidden_from": ()}) for each in chosen]
    return questions.model_copy(update={"questions": tuple(kept)})


def with_wrong_answers(questions: Questions) -> Questions:
    """The same calls, each of which must now show what no server says."""
    return without_hidden(questions, list(map(_wrong, questions.questions)))


def _wrong(question: Question) -> Question:
    calls = [
        call.model_copy(update={"shows": dict.fromkeys(call.shows, ("what nobody says",))}) for call in question.calls
    ]
    return question.model_copy(update={"calls": tuple(calls)})
