"""The gateway's part of the tour: one endpoint for all domains, one of which is killed and comes back."""

import asyncio
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from fastmcp import Client

from common.tour import Narrator, Stage
from infra.demo.servers import RunningServer, start_server, wait_ready

BACK_SECONDS = 30.0


async def tell_gateway(narrator: Narrator, stage: Stage, servers: list[RunningServer]) -> None:
    """`servers` are the domains; the one that is killed is replaced in the list."""
    await _one_endpoint(narrator, stage)
    await _one_goes_down(narrator, stage, servers)


async def _one_endpoint(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "The gateway: one endpoint", "The prefix of a tool says whose it is; everybody sees their own tools."
    )
    for person, expected in (("alice", {"kb", "devops"}), ("maureen", {"support"})):
        counted = await _counted(stage, person, expected)
        narrator.answer(", ".join(f"{count} of {prefix}_*" for prefix, count in counted.items()), person)
        whose = " and ".join(f"{prefix}_*" for prefix in sorted(expected))
        narrator.check(expected <= set(counted), f"{person} sees {whose}")
    narrator.check("devops" not in counted, "maureen, who runs no clusters, has no devops_*")
    for mode in ("auto", "legacy"):
        async with Client(f"{stage.url}/mcp", auth=stage.tokens["alice"], mode=mode) as client:
            found = await _items(client, "kb_search", query="warranty")
            workloads = await _items(client, "devops_list_workloads")
        narrator.check(bool(found and workloads), f"two domains answer one client ({mode})")


async def _counted(stage: Stage, person: str, expected: set[str]) -> Counter[str]:
    """Tools by prefix. On a busy machine a domain may be late for the first list, and is in the next one."""
    ends_at = time.monotonic() + BACK_SECONDS
    async with stage.client(person) as client:
        while True:
            counted = Counter(tool.name.partition("_")[0] for tool in await client.list_tools())
            if expected <= set(counted) or time.monotonic() > ends_at:
                return counted
            await asyncio.sleep(0.2)


async def _one_goes_down(narrator: Narrator, stage: Stage, servers: list[RunningServer]) -> None:
    narrator.chapter(
        "A domain is killed", "The others go on; its tools stay listed, and a call says when to try again."
    )
    place = next(place for place, server in enumerate(servers) if server.name == "devops")
    killed = servers[place]
    async with stage.client("alice") as client:
        before = {tool.name for tool in await client.list_tools()}
        killed.process.kill()
        killed.process.wait()
        text = await _refusal(client)
        narrator.answer(text)
        narrator.check("do not answer" in text and "Retry in" in text, "its call says what is wrong, and when to retry")
        started = time.monotonic()
        found = await _items(client, "kb_search", query="warranty")
        milliseconds = (time.monotonic() - started) * 1000
        narrator.check(bool(found), f"the knowledge base answers as before ({milliseconds:.0f} ms)")
        narrator.check({tool.name for tool in await client.list_tools()} == before, "the list of tools is the same")
        data_dir = killed.log.parent.parent
        servers[place] = start_server(killed.name, urlsplit(killed.url).port or 0, data_dir)
        await asyncio.to_thread(wait_ready, servers[place])
        narrator.check(await _answers_again(client), "it comes back, and is used again by itself")


async def _items(client: Client[Any], tool: str, **arguments: object) -> list[Any]:
    content: Any = (await client.call_tool(tool, arguments)).structured_content
    items: list[Any] = content["items"]
    return items


async def _refusal(client: Client[Any]) -> str:
    try:
        await _items(client, "devops_list_workloads")
    except Exception as error:
        return str(error)
    return ""


async def _answers_again(client: Client[Any]) -> bool:
    ends_at = time.monotonic() + BACK_SECONDS
    while time.monotonic() < ends_at:
        if not await _refusal(client):
            return True
        await asyncio.sleep(0.2)
    return False
