"""The knowledge base's part of the demo: real questions of real documents, asked by people with different rights."""

import asyncio
from typing import Any

from common.tour import Narrator, Stage

WAIT_SECONDS = 30.0

# question, document that answers it, who finds it there, who must not
QUESTIONS = (
    (
        "What does a senior platform engineer in Utrecht earn?",
        "fernhill-salary-bands-2026",
        ("hanna",),
        ("alice", "pat"),
    ),
    ("What do I get paid for a week of carrying the pager?", "fernhill-on-call-handbook", ("alice",), ("hanna", "pat")),
    (
        "How much measurement data went missing in the March outage?",
        "fernhill-post-mortem-2026-03-14",
        ("alice",),
        ("hanna", "pat"),
    ),
    ("Are we about to buy another company, and for how much?", "fernhill-project-sorrel", ("hanna",), ("alice", "pat")),
)


async def tell(narrator: Narrator, stage: Stage) -> None:
    """The whole part."""
    narrator.chapter(
        "Knowledge base: the same question, three people",
        "Rights are part of every query: what somebody may not read is not ranked, counted or hinted at.",
    )
    for question, document_id, finders, others in QUESTIONS:
        await _ask_everyone(narrator, stage, question, document_id, finders, others)
    await _read_with_citation(narrator, stage)
    await _add_and_find(narrator, stage)


async def _ask_everyone(
    narrator: Narrator, stage: Stage, question: str, document_id: str, finders: tuple[str, ...], others: tuple[str, ...]
) -> None:
    narrator.ask("everyone asks:", question)
    for person in (*finders, *others):
        items = await search(stage, person, question)
        found = next((item for item in items if item["document_id"] == document_id), None)
        if person in finders:
            narrator.answer(_line(found), person)
            narrator.check(found is not None, f"{person} finds it, in {document_id}")
        else:
            narrator.answer(f"gets other documents, the first is {items[0]['title']!r}" if items else "nothing", person)
            narrator.check(found is None, f"{person} sees nothing of {document_id}")


async def search(stage: Stage, person: str, query: str) -> list[dict[str, Any]]:
    """The first page of a search."""
    async with stage.client(person) as client:
        answer = await client.call_tool("search", {"query": query})
        items: list[dict[str, Any]] = answer.structured_content["items"]
        return items


def _line(item: dict[str, Any] | None) -> str:
    return f"{item['title']}: {item['snippet']}" if item else "nothing"


async def _read_with_citation(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("Knowledge base: an answer that can be checked", "Each passage names its document and version.")
    narrator.ask("pat", "Which ports does our firewall have to open for the gateway?")
    [item, *_] = await search(stage, "pat", "Which ports does our firewall have to open for the gateway?")
    narrator.answer(_line(item))
    narrator.answer(item["citation"], "citation")
    async with stage.client("pat") as client:
        text = (await client.call_tool("fetch", {"id": item["document_id"]})).structured_content["text"]
    narrator.check("8883" in text, "fetch gives the whole text, and the port stands in it")


async def _add_and_find(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("Knowledge base: add a document and find it", "Accepted means not lost; a job says when.")
    arguments = {
        "id": "note-kettle",
        "title": "Where the spare kettle is",
        "text": "# Spare kettle\n\nThe spare kettle of the Leeds office is in cupboard 14b, behind the printer.",
        "metadata": {"department": "facilities"},
        "access": {"classification": "internal", "groups": ["engineering"]},
    }
    async with stage.client("alice") as client:
        added = (await client.call_tool("add_document", arguments)).structured_content
        narrator.answer(f"adds note-kettle, version {added['version']}, job {added['job_id']}", "alice")
        if added["job_id"]:
            state = await _finished(client, added["job_id"])
            narrator.check(state == "finished", "the job finished")
    question = "Where do I find another kettle?"
    found = {person: await search(stage, person, question) for person in ("alice", "hanna")}
    narrator.check(_has(found["alice"], "note-kettle"), "alice finds it")
    narrator.check(not _has(found["hanna"], "note-kettle"), "hanna, who is not in engineering, does not")


def _has(items: list[dict[str, Any]], document_id: str) -> bool:
    return any(item["document_id"] == document_id for item in items)


async def _finished(client: Any, job_id: str) -> str:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            status = (await client.call_tool("get_job", {"job_id": job_id})).structured_content
            if status["state"] in ("finished", "failed"):
                return str(status["state"])
            await asyncio.sleep(0.1)
