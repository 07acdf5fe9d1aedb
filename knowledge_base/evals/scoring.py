"""Asks every question as everybody, through MCP, and scores what comes back without a model."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from common.evals import Evals, Miss, Report, Score, call_patiently
from common.tour import Stage
from knowledge_base.evals.questions import Expectation, config, expectations, model_questions

ASKED, COUNTED = 50, 10
"""Documents that are looked at for leaks, and for ranks."""
CITED = 3
"""Citations of an answer that two profiles are compared by."""
NO_DOCUMENT = "there-is-no-such-document"
Items = Sequence[dict[str, Any]]


@dataclass
class Tally:
    """What was seen so far: 1 or 0, or a reciprocal rank, for each thing asked."""

    seen: dict[str, list[float]] = field(default_factory=dict)
    misses: list[Miss] = field(default_factory=list)
    citations: dict[str, list[str]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        self.seen.setdefault(name, []).append(value)


def evals() -> Evals:
    """What the knowledge base registers."""
    own = config()
    return Evals(own.people, ask, "answer_with_citations", model_questions(), own.model_at_least)


async def ask(stage: Stage) -> Report:
    """Everybody who has a token asks every question."""
    tally, own = Tally(), config()
    names = [person.name for person in own.people if person.name in stage.tokens]
    await asyncio.gather(*(_ask_as(stage, name, expectations(), tally) for name in names))
    scores = [_score(name, tally.seen.get(name, [])) for name in [*own.at_least, *own.at_most]]
    return Report(scores, tally.misses, tally.citations)


def _score(name: str, seen: Sequence[float]) -> Score:
    own = config()
    value = sum(seen) if name in own.at_most else fmean(seen) if seen else 0.0
    return Score(name, value, len(seen), own.at_least.get(name), own.at_most.get(name))


async def _ask_as(stage: Stage, person: str, lines: Iterable[Expectation], tally: Tally) -> None:
    questions: dict[tuple[str, str | None], list[Expectation]] = {}
    for line in lines:
        questions.setdefault(line.key, []).append(line)
    async with stage.client(person) as client:
        for (question, as_of), answers in questions.items():
            arguments = {"query": question, "limit": ASKED, **({"as_of": as_of} if as_of else {})}
            found = (await _call(client, "search", arguments)).structured_content["items"]
            asked = f"{person}: {question}{f' (as of {as_of})' if as_of else ''}"
            tally.citations[asked] = [item["citation"] for item in found[:CITED]]
            readable = [line for line in answers if person in line.visible_to]
            if readable:
                _note_ranks(person, readable, found[:COUNTED], tally)
            for line in readable:
                await _note_fact(client, person, line, found[:COUNTED], tally)
            for line in answers:
                if person in line.hidden_from:
                    await _note_leaks(client, person, line, found, tally)


def _note_ranks(person: str, lines: Sequence[Expectation], found: Items, tally: Tally) -> None:
    rank = next((i for i, item in enumerate(found, 1) if any(_is(line, item) for line in lines)), None)
    if lines[0].as_of:
        tally.note("as of: hit@3", float(rank is not None and rank <= 3))
    else:
        for k in (1, 3):
            tally.note(f"hit@{k}", float(rank is not None and rank <= k))
        tally.note(f"MRR@{COUNTED}", 1 / rank if rank else 0.0)
    if rank != 1:
        names = " or ".join(sorted(line.document_id for line in lines))
        where = f"{names} is at {rank}" if rank else f"{names} is not in the first {COUNTED}"
        first = f"; the first is {found[0]['document_id']}" if found else "; nothing was found"
        tally.misses.append(Miss(person, lines[0].question, where + first))


def _is(line: Expectation, item: dict[str, Any]) -> bool:
    return line.document_id == item["document_id"] and line.version in (None, item["version"])


async def _note_fact(client: Any, person: str, line: Expectation, found: Items, tally: Tally) -> None:
    """Whether the passage that the answer cites says it."""
    item = next((item for item in found if _is(line, item)), None)
    passage = ""
    if item is not None:
        passage = (await _call(client, "fetch", {"citation": item["citation"]})).structured_content["text"]
    holds = line.phrase in passage and (line.not_phrase is None or line.not_phrase not in passage)
    tally.note("as of: fact in the passage" if line.as_of else "fact in the passage", float(holds))
    if item is not None and not holds:
        tally.misses.append(Miss(person, line.question, f"{item['citation']} does not say {line.phrase!r}"))


async def _note_leaks(client: Any, person: str, line: Expectation, found: Items, tally: Tally) -> None:
    """A document that the person may not read must look like one that does not exist, however it is asked for."""
    leaks = [f"search returns it at {i}" for i, item in enumerate(found, 1) if item["document_id"] == line.document_id]
    for tool in ("fetch", "list_versions"):
        if await _refusal(client, tool, line.document_id) != await _refusal(client, tool, NO_DOCUMENT):
            leaks.append(f"{tool} does not answer as for a document that does not exist")
    tally.note("leaks", float(bool(leaks)))
    tally.misses += [Miss(person, line.question, f"LEAK of {line.document_id}: {why}") for why in leaks]


async def _refusal(client: Any, tool: str, document_id: str) -> str | None:
    answer = await _call(client, tool, {"id": document_id}, may_fail=True)
    return str(answer.content[0].text).replace(document_id, "...") if answer.is_error else None


async def _call(client: Any, tool: str, arguments: dict[str, Any], may_fail: bool = False) -> Any:
    """Raises RuntimeError for a failure."""
    answer = await call_patiently(client, tool, arguments)
    if answer.is_error and not may_fail:
        raise RuntimeError(f"{tool} failed: {answer.content[0].text}")
    return answer
