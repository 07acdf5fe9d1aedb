"""Confirmations: nobody ever gives an implicit yes, in no era and on no way around."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from common.confirm import FIELD, Confirmations
from common.security.audit import tail
from tests.support.confirming import Replica, replica

YES = {FIELD: {"action": "accept", "content": {FIELD: True}}}
NO = {FIELD: {"action": "decline"}}
MODERN = "2026-07-28"


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Replica]:
    async with replica(tmp_path) as server:
        yield server


async def raw(server: Replica, token: str, arguments: dict[str, Any], **params: Any) -> dict[str, Any]:
    """One call as bytes on the wire, from a client that may lie."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": params.pop("capabilities", {"elicitation": {"form": {}}}),
    }
    body = {"name": "wipe", "arguments": arguments, "_meta": meta, **params}
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "wipe",
    }
    async with server.asgi.http_client() as http:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body}
        answer: httpx2.Response = await http.post("/mcp", json=request, headers=headers)
    answered: dict[str, Any] = answer.json()
    return answered


async def asked(server: Replica, token: str, name: str = "disk") -> str:
    """The sealed state of a question."""
    result = (await raw(server, token, {"name": name}))["result"]
    assert result["resultType"] == "input_required"
    assert result["inputRequests"][FIELD]["params"]["message"] == f"Wipe {name}?"
    state: str = result["requestState"]
    return state


def said(answered: dict[str, Any]) -> str:
    """The tool's words, or the error's."""
    if "error" in answered:
        return str(answered["error"]["message"])
    return str(answered["result"]["content"][0]["text"])


@pytest.mark.parametrize(("action", "content", "expected"), [("accept", True, "yes"), ("decline", None, "no")])
async def test_a_modern_client_is_asked_and_its_answer_counts(
    one: Replica, action: str, content: bool | None, expected: str
) -> None:
    async def answer(message: str, *_: Any) -> Any:
        assert message == "Wipe disk?"
        from fastmcp.client.elicitation import ElicitResult

        return ElicitResult(action=action, content={FIELD: content} if content else None)

    async with one.asgi.client(auth=one.token(), elicitation_handler=answer) as client:
        assert (await client.call_tool("wipe", {"name": "disk"})).data == f"disk: {expected}"
    assert one.wiped == (["disk"] if expected == "yes" else [])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_who_cannot_be_asked_gets_a_pending_request(one: Replica, mode: str) -> None:
    async with one.asgi.client(auth=one.token(), mode=mode) as client:
        assert (await client.call_tool("wipe", {"name": "disk"})).data == "disk: pending"
    assert one.wiped == []


async def test_an_older_client_over_http_cannot_be_asked_even_if_it_says_so(one: Replica) -> None:
    async def always(*_: Any) -> Any:
        return {"value": True}

    async with one.asgi.client(auth=one.token(), mode="legacy", elicitation_handler=always) as client:
        assert (await client.call_tool("wipe", {"name": "disk"})).data == "disk: pending"
    assert one.wiped == []


async def test_a_forged_first_answer_is_asked_again(one: Replica) -> None:
    answered = await raw(one, one.token(), {"name": "disk"}, inputResponses=YES)
    assert answered["result"]["resultType"] == "input_required"
    assert one.wiped == []


@pytest.mark.parametrize("state", ["v1.AAAA", "", "{}", '{"nonce": "x", "request_id": "y", "about": "disk"}'])
async def test_a_state_that_we_did_not_seal_is_refused(one: Replica, state: str) -> None:
    answered = await raw(one, one.token(), {"name": "disk"}, inputResponses=YES, requestState=state)
    assert "Invalid or expired" in said(answered)
    assert one.wiped == [] and one.prepared == []


async def test_an_answer_counts_once(one: Replica) -> None:
    token = one.token()
    state = await asked(one, token)
    answered = [await raw(one, token, {"name": "disk"}, inputResponses=YES, requestState=state) for _ in range(3)]
    assert said(answered[0]) == "disk: yes"
    assert all("used already" in said(answer) for answer in answered[1:])
    assert one.wiped == ["disk"] and one.prepared == ["disk"]


async def test_without_the_store_of_used_states_an_answer_would_count_twice(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is the store that the tests above see at work."""

    async def forgetful(*_: Any) -> None: ...

    monkeypatch.setattr(Confirmations, "_spend", forgetful)
    token = one.token()
    state = await asked(one, token)
    for _ in range(2):
        await raw(one, token, {"name": "disk"}, inputResponses=YES, requestState=state)
    assert one.wiped == ["disk", "disk"]


async def test_of_answers_at_the_same_moment_one_counts(one: Replica) -> None:
    token = one.token()
    state = await asked(one, token)
    calls = (raw(one, token, {"name": "disk"}, inputResponses=YES, requestState=state) for _ in range(20))
    answered = await asyncio.gather(*calls)
    assert sorted(said(answer) for answer in answered)[-1] == "disk: yes"
    assert one.wiped == ["disk"]


async def test_a_no_is_final(one: Replica) -> None:
    token = one.token()
    state = await asked(one, token)
    assert said(await raw(one, token, {"name": "disk"}, inputResponses=NO, requestState=state)) == "disk: no"
    answered = await raw(one, token, {"name": "disk"}, inputResponses=YES, requestState=state)
    assert "used already" in said(answered) and one.wiped == []


NOT_YES: list[dict[str, Any]] = [
    {},
    {"other": {"action": "accept", "content": {FIELD: True}}},
    {FIELD: {"action": "accept"}},
    {FIELD: {"action": "accept", "content": {}}},
    {FIELD: {"action": "accept", "content": {FIELD: False}}},
    {FIELD: {"action": "accept", "content": {FIELD: "true"}}},
    {FIELD: {"action": "accept", "content": {FIELD: 1}}},
    {FIELD: {"action": "cancel", "content": {FIELD: True}}},
]


@pytest.mark.parametrize("responses", NOT_YES)
async def test_only_an_explicit_yes_is_one(one: Replica, responses: dict[str, Any]) -> None:
    token = one.token()
    state = await asked(one, token)
    await raw(one, token, {"name": "disk"}, inputResponses=responses, requestState=state)
    assert one.wiped == []


async def test_nobody_answers_for_another_person_or_with_other_arguments(one: Replica) -> None:
    alice, bob = one.token("alice"), one.token("bob")
    state = await asked(one, alice)
    stolen = await raw(one, bob, {"name": "disk"}, inputResponses=YES, requestState=state)
    changed = await raw(one, alice, {"name": "everything"}, inputResponses=YES, requestState=state)
    assert "Invalid or expired" in said(stolen) and "Invalid or expired" in said(changed)
    assert one.wiped == []


async def test_a_late_answer_is_refused(one: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    token = one.token()
    state = await asked(one, token)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 601)
    answered = await raw(one, token, {"name": "disk"}, inputResponses=YES, requestState=state)
    assert "Invalid or expired" in said(answered) and one.wiped == []


async def test_another_replica_takes_the_answer_and_refuses_it_the_second_time(tmp_path: Path) -> None:
    async with replica(tmp_path, "one") as one, replica(tmp_path, "two") as two:
        token = one.token()
        state = await asked(one, token)
        assert said(await raw(two, token, {"name": "disk"}, inputResponses=YES, requestState=state)) == "disk: yes"
        again = await raw(one, token, {"name": "disk"}, inputResponses=YES, requestState=state)
        assert "used already" in said(again)
        assert (one.wiped, two.wiped) == ([], ["disk"])


async def test_without_the_store_there_is_no_yes(one: Replica) -> None:
    token = one.token()
    state = await asked(one, token)
    async with one.runtime.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE spent_confirmations")
    answered = await raw(one, token, {"name": "disk"}, inputResponses=YES, requestState=state)
    assert "nothing was done" in said(answered) and one.wiped == []


async def test_both_rounds_are_one_call_to_the_limiter(tmp_path: Path) -> None:
    async with replica(tmp_path, rate_limit_per_second=0.001, rate_limit_burst=2) as one:
        token = one.token()
        for name in ("a", "b"):
            state = await asked(one, token, name)
            assert said(await raw(one, token, {"name": name}, inputResponses=YES, requestState=state)) == f"{name}: yes"
        assert "Retry in" in said(await raw(one, token, {"name": "c"}))
        # Replays have a budget of their own, which is used up as well.
        assert "Retry in" in said(await raw(one, token, {"name": "b"}, inputResponses=YES, requestState=state))


async def test_both_rounds_are_one_chain_of_records(one: Replica) -> None:
    token = one.token()
    state = await asked(one, token)
    await raw(one, token, {"name": "disk"}, inputResponses=YES, requestState=state)
    records = await tail(one.runtime.engine, 10)
    assert len({record["request_id"] for record in records}) == 1
    steps = [(record["kind"], record["outcome"]) for record in records]
    assert sorted(steps) == [("intent", ""), ("intent", ""), ("outcome", "input_required"), ("outcome", "ok")]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_stdio_the_person_is_asked_directly(tmp_path: Path, mode: str) -> None:
    answers = iter([True, False, None])

    async def handler(_message: str, response_type: Any, *_: Any) -> Any:
        from fastmcp.client.elicitation import ElicitResult

        if (answer := next(answers)) is None:
            return ElicitResult(action="cancel")
        field = next(iter(response_type.__dataclass_fields__))
        return {field: answer}

    transport = StdioTransport(sys.executable, ["-m", "tests.support.confirming", str(tmp_path)], keep_alive=False)
    async with Client(transport, mode=mode, elicitation_handler=handler) as client:
        for expected in ("yes", "no", "no"):
            assert (await client.call_tool("wipe", {"name": "disk"})).data == f"disk: {expected}"
    assert next(answers, "all were asked for") == "all were asked for"
