"""While one domain is down or ill, the others do not notice; and what may be tried again is, nothing else."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastmcp.exceptions import ToolError

from common.errors import Unavailable
from infra.demo.servers import free_port
from infra.gateway.asking import ask_for_all
from infra.gateway.caller import caller_of
from tests.support.broken_domain import ILLNESSES, Illness, broken_domain
from tests.support.gateway import domain_server, gateway_in_front, site

HURRY: dict[str, Any] = {"limits": {"bad": {"seconds": 0.5}}, "list_wait_seconds": 0.5, "health_seconds": 0.05}


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("illness", ILLNESSES)
async def test_an_ill_domain_harms_nobody_else(tmp_path: Path, illness: Illness) -> None:
    async with domain_server(tmp_path, "kb") as kb, broken_domain(illness, f"{kb.url}/mcp") as (url, _):
        async with gateway_in_front(tmp_path, {"kb": [kb.url], "bad": [url]}, **HURRY) as here:
            token = here.token()
            async with here.client(token) as modern, here.client(token, "legacy") as legacy:
                assert {tool.name.split("_")[0] for tool in await modern.list_tools()} == {"kb"}
                bad = [asyncio.create_task(each.call_tool("bad_echo", {"text": "x"})) for each in (modern, legacy)]
                for number in range(5):
                    for client in (modern, legacy):
                        assert (await client.call_tool("kb_echo", {"text": str(number)})).data == str(number)
                for failure in await asyncio.gather(*bad, return_exceptions=True):
                    assert isinstance(failure, ToolError)
                    assert "bad" in str(failure) and "http" not in str(failure)
            # A redirect would have taken the token elsewhere.
            assert {each["tool"] for each in kb.seen} == {"echo"} and len(kb.seen) == 10


async def test_a_domain_that_is_down_stays_listed_says_when_and_comes_back(tmp_path: Path) -> None:
    port = free_port(0)
    async with domain_server(tmp_path, "kb") as kb:
        urls = {"kb": [kb.url], "devops": [f"http://127.0.0.1:{port}"]}
        async with gateway_in_front(tmp_path, urls, health_seconds=0.02, list_seconds=0.001) as here:
            [_, devops] = here.gateway.domains
            async with here.client(here.token()) as client:
                async with domain_server(tmp_path, "devops", port=port):
                    await eventually(lambda: devops.replicas[0].state == "ready")
                    names = {tool.name for tool in await client.list_tools()}
                    assert (await client.call_tool("devops_echo", {"text": "hi"})).data == "hi"
                await eventually(lambda: not devops.up)
                assert {tool.name for tool in await client.list_tools()} == names and "devops_echo" in names
                with pytest.raises(ToolError, match=r"devops_\* do not answer .* Retry in 1\.0 s"):
                    await client.call_tool("devops_echo", {"text": "hi"})
                assert (await client.call_tool("kb_echo", {"text": "hi"})).data == "hi"
                async with domain_server(tmp_path, "devops", port=port):
                    await eventually(lambda: devops.up)
                    assert (await client.call_tool("devops_echo", {"text": "again"})).data == "again"


async def test_a_list_that_is_refused_for_a_while_stays_as_it_was(tmp_path: Path) -> None:
    async with domain_server(tmp_path, "kb", rate_limit_per_second=0.001, rate_limit_burst=3) as kb:
        async with gateway_in_front(tmp_path, {"kb": [kb.url]}, list_seconds=0.001) as here:
            [domain], [catalogue] = here.gateway.domains, here.gateway.catalogues
            caller = await caller_of({"authorization": f"Bearer {here.token()}"}, "", here.runtime.credentials)
            assert caller
            first = await catalogue.listing(caller)
            assert first and "echo" in first.tools
            with pytest.raises(Unavailable, match="kb does not say now what it has"):
                await ask_for_all(domain, caller, "tools/list", "tools")
            await asyncio.gather(*catalogue._fetching.values(), return_exceptions=True)
            assert await catalogue.listing(caller) == first and domain.era == "modern"


async def test_a_call_that_reads_goes_to_the_next_replica_and_one_that_changes_does_not(tmp_path: Path) -> None:
    async with domain_server(tmp_path, "kb") as kb, broken_domain("torn") as (url, broken):
        async with gateway_in_front(tmp_path, {"kb": [url, kb.url]}, health_seconds=60) as here:
            [domain] = here.gateway.domains
            owner = next(f"tenant-{n}" for n in range(99) if domain.choose(f"tenant-{n}") is domain.replicas[0])
            token = here.token("alice", "user", "editor", tenant=owner)
            async with here.client(token) as client:
                await client.list_tools()
                asked = broken.asked
                assert (await client.call_tool("kb_echo", {"text": "hi"})).data == "hi"
                assert broken.asked == asked + 1
                with pytest.raises(ToolError, match="may have done what was asked"):
                    await client.call_tool("kb_change", {"name": "x"})
                assert broken.asked == asked + 2 and kb.changed == []


async def test_what_was_never_sent_may_go_elsewhere_even_if_it_changes_something(tmp_path: Path) -> None:
    async with domain_server(tmp_path, "kb") as kb:
        nowhere = f"http://127.0.0.1:{free_port(0)}"
        async with gateway_in_front(tmp_path, {"kb": [nowhere, kb.url]}, health_seconds=60) as here:
            for number in range(8):
                token = here.token("alice", "user", "editor", tenant=f"tenant-{number}")
                async with here.client(token) as client:
                    assert (await client.call_tool("kb_change", {"name": str(number)})).data == str(number)
            assert kb.changed == [str(number) for number in range(8)]


async def test_a_replica_that_is_gone_between_the_rounds_of_a_confirmation(tmp_path: Path) -> None:
    async with site(tmp_path, {"kb": 2}, health_seconds=60) as here:
        [domain] = here.gateway.domains

        async def agree(*_: Any) -> dict[str, bool]:
            # Whoever asked is out of the game when the answer comes.
            domain.choose("acme").state = "down"  # type: ignore[union-attr]
            return {"confirm": True}

        async with here.client(here.token(), elicitation_handler=agree) as client:
            assert (await client.call_tool("kb_wipe", {"name": "disk"})).data == "disk: yes"
            first, second = (await client.call_tool("kb_where")).structured_content["replica"], domain.choose("acme")
            assert second is not None and second.name == f"kb/{first}"


async def test_the_breaker_opens_for_a_replica_that_only_fails(tmp_path: Path) -> None:
    async with broken_domain("error 500") as (url, broken):
        async with gateway_in_front(tmp_path, {"bad": [url]}, **HURRY) as here, here.client(here.token()) as client:
            [domain] = here.gateway.domains
            for _ in range(40):
                with pytest.raises(ToolError):
                    await client.call_tool("bad_echo", {"text": "x"})
            assert domain.replicas[0].breaker.state == "open"
            asked = broken.asked
            with pytest.raises(ToolError, match="do not answer"):
                await client.call_tool("bad_echo", {"text": "x"})
            assert broken.asked == asked


async def test_a_client_that_leaves_ends_the_call_at_the_domain(tmp_path: Path) -> None:
    async with site(tmp_path, {"kb": 1}) as here:
        [domain] = here.gateway.domains
        async with here.client(here.token()) as client:
            await client.list_tools()
            running = asyncio.create_task(client.call_tool("kb_steps"))
            await eventually(lambda: domain.replicas[0].in_flight == 1)
            running.cancel()
            await eventually(lambda: domain.replicas[0].in_flight == 0)
