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
    await _made_private(narrator, stage)
    await _filtered(narrator, stage)
    await _versions(narrator, stage)


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


async def _made_private(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("Knowledge base: made private", "It is gone from the very next search, for everyone, everywhere.")
    question = "When is the lift serviced?"
    text = "The goods lift is serviced every first Thursday; use the ramp on that day."
    arguments = {"id": "note-lift", "title": "Lift service", "text": text, "access": {"classification": "internal"}}
    async with stage.client("alice") as client:
        job_id = (await client.call_tool("add_document", arguments)).structured_content["job_id"]
        if job_id:
            await _finished(client, job_id)
        narrator.check(_has(await search(stage, "hanna", question), "note-lift"), "hanna finds the note about the lift")
        private = {"id": "note-lift", "access": {"classification": "internal", "groups": ["engineering"]}}
        await client.call_tool("set_access", private)
        narrator.answer("set_access: engineering only", "alice")
        narrator.check(not _has(await search(stage, "hanna", question), "note-lift"), "hanna's next search does not")
        narrator.check(_has(await search(stage, "alice", question), "note-lift"), "alice still finds it")
        # As before, so that the tour can be told again.
        await client.call_tool("set_access", {"id": "note-lift", "access": {"classification": "internal"}})


async def _filtered(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("Knowledge base: filters and counts", "Each count is of the documents that its reader may read.")
    counts: dict[str, dict[str, int]] = {}
    for person in ("alice", "hanna"):
        async with stage.client(person) as client:
            facets = (await client.call_tool("list_facets", {"fields": ["department"]})).structured_content
        [departments] = facets["items"]
        counts[person] = {entry["value"]: entry["count"] for entry in departments["values"]}
        narrator.answer(", ".join(f"{name} {count}" for name, count in counts[person].items()), person)
    alice, hanna = (counts[person].get("engineering", 0) for person in ("alice", "hanna"))
    narrator.check(alice > hanna, "alice, an engineer, has more engineering documents to read than hanna")
    filters = {"kind": "runbook", "updated": {"gte": "2026", "lt": "2027"}}
    narrator.ask("alice searches the runbooks of 2026 only:", "What do I do about a backlog?")
    async with stage.client("alice") as client:
        arguments = {"query": "What do I do about a backlog?", "filters": filters}
        items = (await client.call_tool("search", arguments)).structured_content["items"]
    narrator.answer(_line(items[0] if items else None), "alice")
    kinds = {(item["metadata"]["kind"], item["metadata"]["updated"][:4] == "2026") for item in items}
    narrator.check(kinds == {("runbook", True)}, "she gets runbooks of 2026, and nothing else")


async def _versions(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("Knowledge base: versions", "What stood there then, what changed, and who said so.")
    note = {"id": "note-kettle", "title": "Where the spare kettle is", "metadata": {"department": "facilities"}}
    moved = "# Spare kettle\n\nThe spare kettle of the Leeds office moved to the print room, shelf 3."
    async with stage.client("alice") as client:
        [old] = [i for i in await search(stage, "alice", "spare kettle") if i["document_id"] == "note-kettle"]
        access = {"classification": "internal", "groups": ["engineering"]}
        added = (await client.call_tool("add_document", {**note, "text": moved, "access": access})).structured_content
        await _finished(client, added["job_id"])
        [new] = [i for i in await search(stage, "alice", "spare kettle") if i["document_id"] == "note-kettle"]
        narrator.check("print room" in new["snippet"], f"version {new['version']} answers now")
        then = {"query": "spare kettle", "as_of": old["published_at"]}
        items = (await client.call_tool("search", then)).structured_content["items"]
        narrator.check(any("14b" in item["snippet"] for item in items), "as of before, the old answer stands")
        numbers = {"id": "note-kettle", "from_version": old["version"], "to_version": new["version"]}
        diff = (await client.call_tool("compare_versions", numbers)).structured_content["diff"]
        for line in diff.splitlines():
            if line.startswith(("+The", "-The")):
                narrator.answer(line, "diff")
        passage = (await client.call_tool("fetch", {"citation": old["citation"]})).structured_content["text"]
        narrator.answer(old["citation"], "citation")
        narrator.check("14b" in passage, "the old citation still gives its passage")
        back = {"id": "note-kettle", "version": old["version"]}
        restored = (await client.call_tool("restore_version", back)).structured_content
        narrator.check((await _finished(client, restored["job_id"])) == "finished", "the old version is restored")


def _has(items: list[dict[str, Any]], document_id: str) -> bool:
    return any(item["document_id"] == document_id for item in items)


async def _finished(client: Any, job_id: str) -> str:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            status = (await client.call_tool("get_job", {"job_id": job_id})).structured_content
            if status["state"] in ("finished", "failed"):
                return str(status["state"])
            await asyncio.sleep(0.1)
