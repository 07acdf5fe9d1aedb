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
from infra.demo.part import Safety


async def tell_safety(narrator: Narrator, stage: Stage, settings: CommonSettings, safety: Safety) -> None:
    """Tools, keys, eras, audit."""
    await _not_allowed_is_not_there(narrator, stage, safety)
    await _both_eras(narrator, stage, safety)
    await _errors_tell_nothing(narrator, stage, safety)
    await _revoked_key(narrator, stage, settings)
    await _audit(narrator, settings, safety)


async def _not_allowed_is_not_there(narrator: Narrator, stage: Stage, safety: Safety) -> None:
    narrator.chapter("Safety: what is not allowed is not there", "Policy decides by role which tools there are.")
    writer, reader, hidden = safety.writer, safety.reader, safety.hidden
    async with stage.client(writer) as one, stage.client(reader) as other:
        first = {tool.name for tool in await one.list_tools()}
        second = {tool.name for tool in await other.list_tools()}
        narrator.answer(", ".join(sorted(first)), writer)
        narrator.answer(", ".join(sorted(second)), reader)
        narrator.check(hidden in first and hidden not in second, f"{reader} has no {hidden}")
        refused, unknown = [await _error(other, name) for name in (hidden, "no_such_tool")]
        same = refused.replace(hidden, "...") == unknown.replace("no_such_tool", "...")
        narrator.check(bool(refused) and same, "calling it is answered as for a tool that does not exist")


async def _error(client: Client[Any], tool: str, **arguments: object) -> str:
    try:
        await client.call_tool(tool, arguments)
    except Exception as error:
        return str(error)
    return ""


async def _both_eras(narrator: Narrator, stage: Stage, safety: Safety) -> None:
    narrator.chapter("Both protocol eras", "Clients of 2025-11-25 and 2026-07-28 get the same answer from one server.")
    answers = []
    for mode in ("auto", "legacy"):
        async with Client(f"{stage.url}/mcp", auth=stage.tokens[safety.reader], mode=mode) as client:
            result = await client.call_tool(safety.read[0], dict(safety.read[1]))
            answers.append(safety.answered(result.structured_content))
    narrator.check(answers[0] == answers[1] and bool(answers[0]), f"what {safety.read[0]} answers is the same")


async def _errors_tell_nothing(narrator: Narrator, stage: Stage, safety: Safety) -> None:
    narrator.chapter("Errors say what to do, and nothing else", "Wrong arguments are named, their values never.")
    tool, arguments, name, value = safety.wrong
    async with stage.client(safety.reader) as client:
        text = await _error(client, tool, **arguments, **{name: value})
    narrator.answer(text)
    narrator.check(name in text and value not in text, "the argument is named, its value is not")


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


async def _audit(narrator: Narrator, settings: CommonSettings, safety: Safety) -> None:
    narrator.chapter("The audit log", "Every call stands in a chain of hashes: intent before it ran, outcome after.")
    engine = create_engine(audit_database_url(settings))
    try:
        async with asyncio.timeout(20):
            while not (records := await tail(engine, 5, action=safety.audited)):
                await asyncio.sleep(0.1)
            key, checkpoints = load_signing_key(settings), checkpoint_path(settings)
            while not (report := await verify(engine, key, checkpoints)).checkpoints:
                await asyncio.sleep(0.5)
    finally:
        await engine.dispose()
    theirs = any(record["subject"] == safety.writer for record in records)
    narrator.check(theirs, f"{safety.audited} of {safety.writer} stands under that name")
    narrator.answer(f"records: {report.records}, writers: {report.writers}, signed checkpoints: {report.checkpoints}")
    narrator.check(not report.problems, "the chain is intact")
