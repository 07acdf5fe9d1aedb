"""The safety features that every server of the suite has."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

from fastmcp import Client

from common.databases import create_engine
from common.security.api_key_stores import opened_api_keys
from common.security.audit import audit_database_url, checkpoint_path, tail, verify
from common.security.signing import load_signing_key
from common.settings import CommonSettings
from common.tour import Narrator, Stage


async def tell_safety(narrator: Narrator, stage: Stage, settings: CommonSettings) -> None:
    """Tools, keys, eras, audit."""
    await _not_allowed_is_not_there(narrator, stage)
    await _both_eras(narrator, stage)
    await _errors_tell_nothing(narrator, stage)
    await _revoked_key(narrator, stage, settings)
    await _audit(narrator, settings)


async def _not_allowed_is_not_there(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("Safety: what is not allowed is not there", "Policy decides by role which tools there are.")
    async with stage.client("alice") as alice, stage.client("pat") as pat:
        hers = {tool.name for tool in await alice.list_tools()}
        his = {tool.name for tool in await pat.list_tools()}
        narrator.answer(f"(editor) {', '.join(sorted(hers))}", "alice")
        narrator.answer(f"(user) {', '.join(sorted(his))}", "pat")
        narrator.check("add_document" in hers and "add_document" not in his, "pat has no add_document")
        refused, unknown = [await _error(pat, name) for name in ("add_document", "no_such_tool")]
        same = refused.replace("add_document", "...") == unknown.replace("no_such_tool", "...")
        narrator.check(bool(refused) and same, "calling it is answered as for a tool that does not exist")


async def _error(client: Client[Any], tool: str, **arguments: object) -> str:
    try:
        await client.call_tool(tool, arguments)
    except Exception as error:
        return str(error)
    return ""


async def _both_eras(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("Both protocol eras", "Clients of 2025-11-25 and 2026-07-28 get the same answer from one server.")
    answers = []
    for mode in ("auto", "legacy"):
        async with Client(f"{stage.url}/mcp", auth=stage.tokens["pat"], mode=mode) as client:
            result = await client.call_tool("search", {"query": "warranty"})
            answers.append([item["citation"] for item in result.structured_content["items"]])
    narrator.check(answers[0] == answers[1] and bool(answers[0]), "the citations are the same")


async def _errors_tell_nothing(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("Errors say what to do, and nothing else", "Wrong arguments are named, their values never.")
    async with stage.client("pat") as client:
        text = await _error(client, "search", query="warranty", limit="hunter2")
    narrator.answer(text)
    narrator.check("limit" in text and "hunter2" not in text, "the argument is named, its value is not")


async def _revoked_key(narrator: Narrator, stage: Stage, settings: CommonSettings) -> None:
    narrator.chapter("A revoked key", "It is refused by the very next call, in every process.")
    async with opened_api_keys(settings) as keys:
        key, token = await keys.create("visitor", "fernhill", ["user"], [], "public", days=0.1)
        before = await asyncio.to_thread(_status, stage.url, token)
        await keys.revoke(key.id)
    after = await asyncio.to_thread(_status, stage.url, token)
    narrator.answer(f"HTTP {before} with the key, HTTP {after} after `triptych keys revoke {key.id}`")
    narrator.check((before, after) == (200, 401), "it worked, and then it did not")


def _status(url: str, token: str) -> int:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {
        "X-API-Key": token,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
    }
    request = urllib.request.Request(f"{url}/mcp", json.dumps(body).encode(), headers)  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def _audit(narrator: Narrator, settings: CommonSettings) -> None:
    narrator.chapter("The audit log", "Every call stands in a chain of hashes: intent before it ran, outcome after.")
    engine = create_engine(audit_database_url(settings))
    try:
        async with asyncio.timeout(20):
            while not (records := await tail(engine, 5, action="add_document")):
                await asyncio.sleep(0.1)
            key, checkpoints = load_signing_key(settings), checkpoint_path(settings)
            while not (report := await verify(engine, key, checkpoints)).checkpoints:
                await asyncio.sleep(0.5)
    finally:
        await engine.dispose()
    narrator.check(any(record["subject"] == "alice" for record in records), "what alice added stands under her name")
    narrator.answer(f"records: {report.records}, writers: {report.writers}, signed checkpoints: {report.checkpoints}")
    narrator.check(not report.problems, "the chain is intact")
