"""The incident goes on: a fix is planned, approved by somebody else, executed, verified and found in the audit log."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from common.tour import Narrator, Stage

WORKLOAD = {"namespace": "production", "name": "alert-engine"}


async def tell(narrator: Narrator, stage: Stage) -> None:
    """From the plan to the audit log. Afterwards everything is broken as before, so that it can be told again."""
    if not await _can_change(narrator, stage):
        return
    change = await _planned(narrator, stage)
    await _own_approval_refused(narrator, stage, change)
    await _approved(narrator, stage, change)
    await _verified(narrator, stage, change)
    await _in_the_audit_log(narrator, stage, change)
    await _broken_again(stage)


async def _can_change(narrator: Narrator, stage: Stage) -> bool:
    async with stage.client("alice") as alice:
        writes = any(tool.name == "rollback_workload" for tool in await alice.list_tools())
    if not writes:
        narrator.chapter("DevOps: read-only", "With DEVOPS_MODE=read-write there would be tools that change something.")
    return writes


async def _planned(narrator: Narrator, stage: Stage) -> dict[str, Any]:
    narrator.chapter("DevOps: a fix is planned", "A call changes nothing: it makes a plan, with the diff of a dry run.")
    narrator.ask("alice", "Roll alert-engine back to the revision that worked.")
    change = await _rollback(stage)
    narrator.answer(change["plan"]["summary"], change["state"].replace("_", " "))
    for line in change["plan"]["diff"].splitlines():
        if line.startswith(("+ ", "- ")):
            narrator.answer(line, "diff")
    narrator.answer(f"risk {change['risk']}: it needs {change['plan']['needs']}")
    narrator.check(change["state"] == "awaiting_approval", "it waits for somebody else's yes")
    narrator.check("60" in change["plan"]["diff"], "the diff shows the setting that goes")
    return change


async def _own_approval_refused(narrator: Narrator, stage: Stage, change: dict[str, Any]) -> None:
    narrator.chapter("DevOps: nobody approves their own change", "Not with another key either.")
    async with _console(stage, "alice") as browser:
        status, answer = await _post(browser, change, "approve", {"digest": change["digest"]})
    narrator.answer(str(answer.get("error")), "alice")
    narrator.check(status == 403 and "own change" in answer["error"], "alice's own approval is refused")


async def _approved(narrator: Narrator, stage: Stage, change: dict[str, Any]) -> None:
    narrator.chapter("DevOps: another person approves", "In the console, freshly signed in, by the digest of the plan.")
    async with _console(stage, "noor") as browser:
        status, answer = await _post(browser, change, "approve", {"digest": "0" * 64})
        narrator.check(status == 409, "an approval of another plan's digest is refused")
        status, answer = await _post(browser, change, "approve", {"digest": change["digest"]})
    narrator.answer(f"{answer.get('state')}: {answer.get('outcome')}", "noor")
    narrator.check(answer.get("state") == "succeeded", "it is executed")


async def _verified(narrator: Narrator, stage: Stage, change: dict[str, Any]) -> None:
    narrator.chapter("DevOps: did it help?", "The change knows its steps, and the cluster how it is.")
    async with stage.client("alice") as alice:
        details = (await alice.call_tool("get_change", {"change_id": change["change_id"]})).structured_content
        broken = (await alice.call_tool("list_workloads", {"unhealthy": True})).structured_content["items"]
    steps = [step["state"] for step in details["journal"]]
    narrator.answer(" -> ".join(steps), "journal")
    narrator.check(steps.count("executing") == 1 and details["approved_by"] == ["noor"], "executed once, by noor's yes")
    narrator.check(all(item["name"] != "alert-engine" for item in broken), "alert-engine is healthy")


async def _in_the_audit_log(narrator: Narrator, stage: Stage, change: dict[str, Any]) -> None:
    narrator.chapter("DevOps: who did that?", "Every intent was recorded before anything happened.")
    async with _console(stage, "dana") as browser:
        page = (await browser.get("/console/audit?action=approve_change")).text
        narrator.check(change["change_id"] in page and "noor" in page, "the approval is in the audit log")
        token = _form_token(page, "/console/audit")
        report = (await browser.post("/console/audit", data={"form_token": token})).text
    narrator.check('class="notice good"' in report, "the whole log is verified: nothing was changed or is missing")


async def _broken_again(stage: Stage) -> None:
    change = await _rollback(stage)
    async with _console(stage, "noor") as browser:
        await _post(browser, change, "approve", {"digest": change["digest"]})


async def _rollback(stage: Stage) -> dict[str, Any]:
    async with stage.client("alice") as alice:
        answer: dict[str, Any] = (await alice.call_tool("rollback_workload", WORKLOAD)).structured_content
        return answer


@asynccontextmanager
async def _console(stage: Stage, person: str) -> AsyncIterator[httpx2.AsyncClient]:
    """The console, signed in."""
    async with httpx2.AsyncClient(base_url=stage.url, timeout=30) as browser:
        await browser.post("/console/sign-in", data={"key": stage.tokens[person], "next": ""})
        yield browser


async def _post(
    browser: httpx2.AsyncClient, change: dict[str, Any], verb: str, body: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    """What a program does: it asks for the change with its form tokens, and posts JSON."""
    url = f"/console/changes/{change['change_id']}"
    tokens = (await browser.get(url, headers={"accept": "application/json"})).json()["form_tokens"]
    answer = await browser.post(f"{url}/{verb}", json=body, headers={"x-form-token": tokens[verb]})
    return answer.status_code, answer.json()


def _form_token(page: str, action: str) -> str:
    form = re.search(rf'<form method="post" action="{re.escape(action)}".*?name="form_token" value="(\w+)"', page, re.S)
    return form[1] if form else ""
