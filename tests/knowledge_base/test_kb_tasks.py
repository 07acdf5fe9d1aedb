"""Jobs as tasks of the protocol: FastMCP's own client waits for them, and nobody gets further by them than by tools."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.security.audit import tail
from common.security.principal import Principal
from tests.support.audit import until
from tests.support.knowledge import Served, served

MODERN = "2026-07-28"
TASKS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


@pytest.fixture(scope="module", autouse=True)
def clients_with_tasks() -> Iterator[None]:
    """To import the package makes each client of the process declare the extension."""
    from fastmcp.client import extension_hooks
    from fastmcp_tasks.client import _build_tasks_client_extension as factory

    extension_hooks.register_internal_client_extension_factory(factory)
    yield
    extension_hooks._internal_client_extension_factories.remove(factory)


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "tea.md").write_text("# Tea\n\nOolong.")
    (folder / "bad.pdf").write_bytes(b"MZ this is a program")
    monkeypatch.setenv("KB_ALLOWED_PATHS", str(folder))
    return str(folder)


@pytest.fixture
async def kb(inbox: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def idle(inbox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """Nobody works on its jobs."""
    monkeypatch.setenv("KB_WORKER", "false")
    async with served(tmp_path / "data") as server:
        yield server


def person(name: str, role: str = "editor") -> Principal:
    return Principal(name, "acme", frozenset({role}), frozenset({"eng"}), "internal")


async def raw(
    server: Served, who: Principal, method: str, params: dict[str, Any], capabilities: Any = TASKS, **headers: str
) -> dict[str, Any]:
    """One request as it goes over the wire."""
    _, token = server.runtime.credentials.api_keys.create(who.subject, who.tenant, sorted(who.roles), [], "internal")
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    sent = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
        **headers,
    }
    async with server.asgi.http_client() as http:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        answer = await http.post("/mcp", json=body, headers=sent)
    found: dict[str, Any] = json.loads(answer.text.partition("data: ")[2] or answer.text)
    return found


async def started(server: Served, who: Principal, inbox: str, **more: Any) -> dict[str, Any]:
    """The result of `start_ingest` on the wire."""
    call = {"name": "start_ingest", "arguments": {"paths": [inbox]}}
    answer = await raw(server, who, "tools/call", call, **more, **{"mcp-name": "start_ingest"})
    result: dict[str, Any] = answer["result"]
    return result


async def test_a_client_waits_for_the_end_of_the_job(kb: Served, inbox: str) -> None:
    async with kb.client(person("alice")) as alice:
        status = (await alice.call_tool("start_ingest", {"paths": [inbox]})).structured_content
        assert (status["state"], status["done"], status["failed"], status["seconds_left"]) == ("finished", 1, 1, 0.0)
        assert (await alice.call_tool("get_job", {"job_id": status["job_id"]})).structured_content == status
        with pytest.raises(Exception, match="not in a folder that may be read"):
            await alice.call_tool("start_ingest", {"paths": ["/etc/passwd"]})


async def test_a_handle_tells_where_the_job_is_and_cancels_it(idle: Served, inbox: str) -> None:
    from fastmcp_tasks import call_tool_task

    async with idle.client(person("alice")) as alice:
        task = await call_tool_task(alice, "start_ingest", {"paths": [inbox]})
        status = await task.status()
        # The program was refused at once.
        assert (status.status, status.status_message) == ("working", "running, 50% done")
        assert (status.ttl_ms, status.poll_interval_ms, status.result) == (None, 1000, None)
        job = (await alice.call_tool("get_job", {"job_id": task.task_id})).structured_content
        assert (job["created_at"], job["state"]) == (status.created_at, "running")
        await task.cancel()
        assert (await task.status()).status == "cancelled"
        with pytest.raises(Exception, match="was cancelled"):
            await task.result()
        assert (await alice.call_tool("get_job", {"job_id": task.task_id})).structured_content["cancelled"] == 1


async def test_a_task_is_its_owners_alone_and_recorded_like_a_tool(idle: Served, inbox: str) -> None:
    alice = person("alice")
    task = (await started(idle, alice, inbox))["taskId"]
    for who in (person("eve"), person("alice", "user")):
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            answer = await raw(idle, who, method, {"taskId": task, "inputResponses": {}})
            assert answer["error"] == {"code": -32602, "message": f"You have no task {task}."}
    assert (await raw(idle, alice, "tasks/get", {"taskId": "x"}))["error"]["message"] == "You have no task x."
    for method in ("tasks/update", "tasks/get"):
        answer = await raw(idle, alice, method, {"taskId": task, "inputResponses": {}})
        assert answer["result"]["resultType"] == "complete" and answer["result"].get("status") in (None, "working")
    await until(lambda: not idle.runtime.audit.backlog)
    seen = [(each["subject"], each["outcome"]) for each in await tail(idle.runtime.engine, 50, action="get_job")]
    assert ("eve", "not_found") in seen and ("alice", "unknown") in seen and ("alice", "ok") in seen
    assert ("eve", "not_found") in [
        (each["subject"], each["outcome"]) for each in await tail(idle.runtime.engine, 50, action="cancel_job")
    ]


async def test_who_has_no_tasks_gets_the_job(idle: Served, inbox: str) -> None:
    alice = person("alice")
    plain = await started(idle, alice, inbox, capabilities={})
    assert plain["resultType"] == "complete" and plain["structuredContent"]["state"] == "running"
    async with idle.client(alice, "legacy") as old:
        status = (await old.call_tool("start_ingest", {"paths": [inbox]})).structured_content
        assert status["state"] in ("queued", "running")
    task = plain["structuredContent"]["job_id"]
    refused = (await raw(idle, alice, "tasks/get", {"taskId": task}, {}))["error"]
    assert refused["code"] == -32021 and refused["data"] == {"requiredCapabilities": TASKS}
    old_one = {"mcp-protocol-version": "2025-11-25"}
    assert (await raw(idle, alice, "tasks/get", {"taskId": task}, **old_one))["error"]["code"] == -32601


async def test_the_header_and_the_body_name_the_same_task(idle: Served, inbox: str) -> None:
    alice = person("alice")
    task = (await started(idle, alice, inbox))["taskId"]
    assert "result" in await raw(idle, alice, "tasks/get", {"taskId": task}, **{"mcp-name": task})
    refused = (await raw(idle, alice, "tasks/get", {"taskId": task}, **{"mcp-name": "other"}))["error"]
    assert "name different tasks" in refused["message"]


async def test_a_task_is_limited_like_a_tool(inbox: str, tmp_path: Path) -> None:
    async with served(tmp_path / "data", rate_limit_per_second=0.001, rate_limit_burst=3) as kb:
        alice = person("alice")
        task = (await started(kb, alice, inbox))["taskId"]
        answers = [await raw(kb, alice, "tasks/get", {"taskId": task}) for _ in range(3)]
        assert "result" in answers[1] and "Too many calls" in answers[2]["error"]["message"]
