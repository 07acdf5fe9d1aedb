"""Who is let through, what they see, and what goes on to a domain."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fastmcp.exceptions import ToolError

from common.security.audit import tail
from tests.benchmarks.requests import ERAS, Era, tool_call
from tests.support.gateway import Site, domain_server, gateway_in_front, site

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_DEVOPS = """
permit (principal, action, resource);
forbid (principal, action, resource == Domain::"devops") when { principal.groups.contains("outside") };
forbid (principal, action, resource) when { context.name like "wi*" };
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("gateway")) as running:
        yield running


async def post(here: Site, headers: dict[str, str], body: bytes) -> Any:
    async with here.asgi.http_client() as http:
        return await http.post("/mcp", headers=headers, content=body)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("credentials", [{}, {"Authorization": "Bearer tk_1_2"}, {"Authorization": "Basic YTpi"}])
async def test_without_a_valid_key_nothing_is_passed_on(here: Site, era: Era, credentials: dict[str, str]) -> None:
    before = [len(each.seen) for servers in here.servers.values() for each in servers]
    headers, body = tool_call(era, "kb_echo", {"text": "hi"})
    answer = await post(here, headers | credentials, body)
    assert answer.status_code == 401
    assert "resource_metadata=" in answer.headers["www-authenticate"]
    assert [len(each.seen) for servers in here.servers.values() for each in servers] == before


async def test_a_revoked_key_is_refused_by_the_next_call(here: Site) -> None:
    key, token = here.runtime.credentials.api_keys.create("visitor", "acme", ["user"], [])
    headers, body = tool_call("modern", "kb_echo", {"text": "hi"})
    assert (await post(here, headers | {"X-API-Key": token}, body)).status_code == 200
    here.runtime.credentials.api_keys.revoke(key.id)
    assert (await post(here, headers | {"X-API-Key": token}, body)).status_code == 401


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_each_caller_sees_what_the_domain_shows_that_caller(here: Site, mode: str) -> None:
    seen: dict[str, set[str]] = {}
    # The same list is asked for again and again, by one and the other.
    for _ in range(2):
        for who, roles in (("editor", ("user", "editor")), ("reader", ("user",))):
            async with here.client(here.token(who, *roles), mode) as client:
                seen[who] = {tool.name for tool in await client.list_tools()}
        assert seen["editor"] - seen["reader"] == {"kb_change", "devops_change"}


async def test_the_same_person_with_other_rights_gets_another_list(here: Site) -> None:
    for roles, expected in ((("user", "editor"), True), (("user",), False), (("user", "editor"), True)):
        async with here.client(here.token("bob", *roles)) as client:
            assert ("kb_change" in {tool.name for tool in await client.list_tools()}) is expected


async def test_a_hidden_tool_is_called_in_vain_and_looks_as_if_it_were_not_there(here: Site) -> None:
    async with here.client(here.token("reader")) as client:
        texts = []
        for name in ("kb_change", "kb_nothing"):
            with pytest.raises(ToolError) as refused:
                await client.call_tool(name, {"name": "x"})
            texts.append(str(refused.value).replace(name.removeprefix("kb_"), "..."))
        assert texts[0] == texts[1] and here.servers["kb"][0].changed == []


async def test_the_domain_sees_the_caller_and_the_request_by_one_id(here: Site) -> None:
    headers, body = tool_call("modern", "kb_echo", {"text": "hi"})
    answer = await post(here, headers | {"X-API-Key": here.token("carol"), "X-Request-Id": "one-id-for-all"}, body)
    assert answer.status_code == 200 and answer.headers["x-request-id"] == "one-id-for-all"
    assert here.servers["kb"][0].seen[-1] == {"tool": "echo", "subject": "carol", "request_id": "one-id-for-all"}
    await here.runtime.audit._buffer.flushed()
    records = await tail(here.runtime.engine, 20, action="kb_echo")
    mine = [each for each in records if each["request_id"] == "one-id-for-all"]
    assert [(each["kind"], each["subject"], each["outcome"]) for each in mine] == [("event", "carol", "ok")]
    assert "hi" not in json.dumps(mine, default=str).replace("hi_", "")


@pytest.mark.parametrize(
    "lie", [{"Mcp-Name": "devops_where"}, {"Mcp-Method": "tools/list"}, {"MCP-Protocol-Version": "2030-01-01"}]
)
async def test_a_header_that_says_other_than_the_body_decides_nothing(here: Site, lie: dict[str, str]) -> None:
    headers, body = tool_call("modern", "kb_where", {})
    answer = await post(here, headers | {"X-API-Key": here.token()} | lie, body)
    assert answer.status_code == 400 and answer.json()["error"]["code"] in (-32020, -32001, -32022)


async def test_a_name_that_stands_twice_counts_once(here: Site) -> None:
    headers, body = tool_call("modern", "kb_where", {})
    body = body.replace(b'"params":{', b'"params":{"name":"devops_where",', 1)
    answer = await post(here, headers | {"X-API-Key": here.token()}, body)
    assert answer.json()["result"]["structuredContent"]["domain"] == "kb"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', 400),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}', 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"kb_echo","arguments":{"n":NaN}}}', 400),
        (b"[" * 100_000, 400),
        (b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}', 202),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"kb://x"}}', 200),
    ],
)
async def test_what_is_no_request_is_refused_as_such(here: Site, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json", "MCP-Protocol-Version": "2025-11-25", "X-API-Key": here.token()}
    answer = await post(here, headers, body)
    assert answer.status_code == status, answer.text


async def test_other_http_methods_and_strange_hosts(here: Site) -> None:
    async with here.asgi.http_client() as http:
        assert (await http.get("/mcp")).status_code == 405
        assert (await http.delete("/mcp")).status_code == 405
        assert (await http.post("/mcp", headers={"Host": "evil.example"})).status_code == 421
        assert (await http.post("/mcp", headers={"Origin": "https://evil.example"})).status_code == 403


async def test_the_gateways_own_policy_hides_and_refuses(tmp_path: Path) -> None:
    policy = tmp_path / "own.cedar"
    policy.write_text(NO_DEVOPS)
    async with domain_server(tmp_path, "kb") as kb, domain_server(tmp_path, "devops") as devops:
        urls = {"kb": [kb.url], "devops": [devops.url]}
        async with gateway_in_front(tmp_path, urls, policy=policy) as front:
            token = front.runtime.credentials.api_keys.create("pat", "acme", ["user"], ["outside"])[1]
            async with front.client(token) as client:
                names = {tool.name for tool in await client.list_tools()}
                assert "kb_echo" in names and "kb_wipe" not in names
                assert not any(name.startswith("devops_") for name in names)
                assert {str(each.uri) for each in await client.list_resources()} == {"kb://greeting"}
                for name in ("devops_echo", "kb_wipe"):
                    with pytest.raises(ToolError, match="Unknown tool"):
                        await client.call_tool(name, {"text": "x", "name": "x"})
            async with front.client(front.token()) as client:
                assert (await client.call_tool("devops_echo", {"text": "hi"})).data == "hi"
            assert [each["subject"] for each in devops.seen] == ["alice"]


async def test_each_domain_has_a_budget_of_its_own_for_each_person(tmp_path: Path) -> None:
    async with domain_server(tmp_path, "kb") as kb, domain_server(tmp_path, "devops") as devops:
        urls = {"kb": [kb.url], "devops": [devops.url]}
        limits = {"rate_limit_per_second": 0.01, "rate_limit_burst": 3}
        async with gateway_in_front(tmp_path, urls, common=limits) as front:
            async with front.client(front.token()) as client:
                for _ in range(3):
                    await client.call_tool("kb_echo", {"text": "hi"})
                with pytest.raises(ToolError, match=r"Too many calls\. Retry in"):
                    await client.call_tool("kb_echo", {"text": "hi"})
                assert (await client.call_tool("devops_echo", {"text": "hi"})).data == "hi"


async def test_a_domain_that_does_not_know_the_caller_says_so_and_no_sign_in_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    async with domain_server(tmp_path / "theirs", "kb") as kb:
        async with gateway_in_front(tmp_path, {"kb": [kb.url]}) as front, front.client(front.token()) as client:
            assert await client.list_tools() == []
            for _ in range(20):
                with pytest.raises(ToolError, match="kb does not accept your token"):
                    await client.call_tool("kb_echo", {"text": "hi"})
            assert kb.seen == []
            # More than ten would have locked the gateway's address out, and everybody with it.
            failures = kb.runtime.metrics.registry.get_sample_value("triptych_sign_in_failures_total", {"server": "kb"})
            assert failures is not None and 1 <= failures < 5


async def test_health_names_each_domain_and_replica(here: Site) -> None:
    async with here.asgi.http_client() as http:
        report = (await http.get("/health/ready")).json()
    assert report["status"] == "ready"
    assert report["checks"] == {"audit": "ok", "kb": "ok", "kb/1": "ok", "devops": "ok", "devops/1": "ok"}
