"""The stack as a client sees it, in both protocol eras."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError

from common.security.audit import tail
from tests.support.apps import SECRET, Small, small_server

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Small]:
    async with small_server(tmp_path) as server:
        yield server


async def refusal(client: Any, tool: str, **arguments: object) -> str:
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011 - the text is what counts
        await client.call_tool(tool, arguments)
    return str(caught.value)


@ERAS
async def test_a_call_runs_as_its_caller(small: Small, mode: str) -> None:
    async with small.client(small.token("alice", clearance="confidential"), mode) as client:
        answer = await client.call_tool("whoami")
    assert answer.structured_content == {"subject": "alice", "tenant": "acme", "clearance": "confidential"}


@ERAS
async def test_what_policy_does_not_permit_is_neither_listed_nor_callable(small: Small, mode: str) -> None:
    async with small.client(small.token(roles=("editor", "user"), clearance="internal"), mode) as client:
        assert {tool.name for tool in await client.list_tools()} == {"echo", "whoami", "fail", "wait"}
        denied, unknown = await refusal(client, "change", name="x"), await refusal(client, "nothing")
    assert denied.replace("change", "_") == unknown.replace("nothing", "_")
    assert small.changed == []
    async with small.client(small.token(roles=("editor",), clearance="confidential"), mode) as client:
        assert [tool.name for tool in await client.list_tools()] == ["change"]
        await client.call_tool("change", {"name": "x"})
    assert small.changed == ["x"]


@ERAS
async def test_resources_follow_policy(small: Small, mode: str) -> None:
    async with small.client(small.token(), mode) as client:
        assert [str(item.uri) for item in await client.list_resources()] == ["small://greeting"]
        assert (await client.read_resource("small://greeting"))[0].text == "hello"
    async with small.client(small.token(roles=("editor",)), mode) as client:
        assert await client.list_resources() == []
        hidden, unknown = [await unreadable(client, uri) for uri in ("small://greeting", "small://nothing")]
    assert hidden.replace("greeting", "_") == unknown.replace("nothing", "_")


async def unreadable(client: Any, uri: str) -> str:
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011 - the text is what counts
        await client.read_resource(uri)
    return str(caught.value)


@ERAS
async def test_validation_errors_name_the_argument_and_not_its_value(small: Small, mode: str) -> None:
    async with small.client(small.token(), mode) as client:
        text = await refusal(client, "echo", text="x", count=SECRET)
        unexpected = await refusal(client, "echo", text="x", other=SECRET)
    assert "count" in text and "integer" in text and SECRET not in text and "pydantic" not in text
    assert "other" in unexpected and SECRET not in unexpected


@ERAS
async def test_internals_are_masked_and_found_under_the_request_id(
    small: Small, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with small.client(small.token(), mode) as client:
        text = await refusal(client, "fail", how="internally")
        conflict = await refusal(client, "fail", how="conflict")
    assert SECRET not in text and "password" not in text
    request_id = text.rsplit(" ", 1)[-1].rstrip(".")
    records = await flushed(small, request_id=request_id)
    assert {record["kind"] for record in records} == {"intent", "outcome"}
    assert conflict == "Somebody was faster. Read it again."


@ERAS
async def test_a_list_that_fails_says_no_more_than_a_call_does(
    small: Small, mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(key: str) -> float:
        raise RuntimeError(f"the password of the database is {SECRET}")

    async with small.client(small.token(), mode) as client:
        lists = (client.list_tools, client.list_resources, client.list_resource_templates, client.list_prompts)
        monkeypatch.setattr(small.runtime.limiter, "acquire", broken)
        capsys.readouterr()
        for ask in lists:
            with pytest.raises(
                MCPError, match=r"^Internal error\. The operator finds it .* request id (\w+)\.$"
            ) as caught:
                await ask()
            assert str(caught.value).rsplit(" ", 1)[-1].rstrip(".") in "".join(capsys.readouterr())


@ERAS
async def test_a_call_ends_at_its_deadline(tmp_path: Path, mode: str) -> None:
    async with small_server(tmp_path, tool_timeout_seconds=0.6) as small:
        async with small.client(small.token(), mode) as client:
            assert (await client.call_tool("wait", {"seconds": 0})).data <= 0.6
            assert "did not finish within" in await refusal(client, "wait", seconds=30)


@ERAS
async def test_every_call_is_recorded_with_its_outcome(small: Small, mode: str) -> None:
    async with small.client(small.token("bob"), mode) as client:
        await client.call_tool("echo", {"text": "x"})
        await refusal(client, "change", name="x")
        await refusal(client, "echo", text="x", count=7)
    records = await flushed(small, subject="bob", least=6)
    outcomes = {(record["action"], record["outcome"]) for record in records if record["kind"] == "outcome"}
    assert outcomes == {("echo", "ok"), ("change", "unknown"), ("echo", "invalid_input")}


async def flushed(small: Small, least: int = 2, **filters: Any) -> list[dict[str, Any]]:
    """Records, once they are written: reads are batched."""

    async with asyncio.timeout(20):
        while len(records := await tail(small.runtime.engine, 100, **filters)) < least:
            await asyncio.sleep(0.01)
    return records


@ERAS
async def test_a_caller_is_limited_and_others_are_not(tmp_path: Path, mode: str) -> None:
    async with small_server(tmp_path, rate_limit_per_second=0.01, rate_limit_burst=4) as small:
        async with small.client(small.token("greedy"), mode) as client:
            for _ in range(3):
                await client.call_tool("echo", {"text": "x"})
            # The fourth was the client's own: it listed the tools to know their output schemas.
            assert "Retry in" in await refusal(client, "echo", text="x")
            with pytest.raises(Exception, match="Retry in"):
                await client.list_tools()
        async with small.client(small.token("modest"), mode) as client:
            await client.call_tool("echo", {"text": "x"})


async def test_metrics_count_by_outcome_and_never_by_a_name_that_the_caller_made_up(small: Small) -> None:
    async with small.client(small.token()) as client:
        await client.call_tool("echo", {"text": "x"})
        await refusal(client, "made_up_name")
    text = (await small.runtime.metrics.exposition()).decode()
    assert 'action="echo",kind="tool",outcome="ok"' in text
    assert "made_up_name" not in text and 'action="other",kind="tool",outcome="unknown"' in text


async def test_health_and_metrics_answer(small: Small) -> None:
    async with small.asgi.http_client() as http:
        live, ready = await http.get("/health/live"), await http.get("/health/ready")
        metrics = await http.get("/metrics")
    assert live.json() == {"status": "alive", "server": "small"}
    assert (ready.status_code, ready.json()["checks"]) == (200, {"audit": "ok"})
    assert metrics.status_code == 200 and "triptych_call_seconds" in metrics.text


async def test_not_ready_while_draining_or_without_audit(small: Small) -> None:
    small.runtime.health.draining = True
    async with small.asgi.http_client() as http:
        answer = await http.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")


async def test_metrics_are_for_this_machine_or_for_the_token(tmp_path: Path) -> None:
    async with small_server(tmp_path, metrics_token="scrape-me") as small, small.asgi.http_client() as http:
        assert (await http.get("/metrics")).status_code == 403
        assert (await http.get("/metrics", headers={"Authorization": "Bearer nope"})).status_code == 403
        assert (await http.get("/metrics", headers={"Authorization": "Bearer scrape-me"})).status_code == 200


async def test_a_changing_call_is_refused_when_the_audit_log_cannot_be_written(small: Small) -> None:
    token = small.token(roles=("editor", "user"), clearance="restricted")
    async with small.client(token) as client:
        async with small.runtime.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE audit_records RENAME TO moved_away")
        assert "audit log cannot be written" in await refusal(client, "change", name="x")
        assert small.changed == []
        assert (await client.call_tool("echo", {"text": "reads go on"})).data == "reads go on"
        async with small.runtime.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE moved_away RENAME TO audit_records")
