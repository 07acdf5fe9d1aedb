"""Tickets of all platforms through the tools: one ranking, one cursor, writes that are safe to repeat."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from fastmcp.exceptions import ToolError

from common.security.untrusted import untrusted
from infra.crm.seed.truth import ground_truth
from infra.crm.seed.world import make_world
from tests.support.crm import RunningSuite
from tests.support.hub import Served, ask, fault, person, served, settings_of

WORLD = make_world()
MIREK = "mirek.dvorak@marlowdairies.example"
COPIES = {frozenset(line["tickets"]) for line in ground_truth(WORLD) if line["kind"] == "mirror"}


@pytest.fixture
async def hub(crm: RunningSuite, tmp_path: Path) -> AsyncIterator[Served]:
    for url in crm.urls.values():
        await asyncio.to_thread(requests.post, f"{url}/__control/reset", timeout=10)
    await asyncio.to_thread(crm.control, "hubspot", "limits", {"search": {"requests": 1000, "seconds": 1}})
    async with served(tmp_path, {**settings_of(crm), "SUPPORT_SOURCE_SECONDS": "8"}) as running:
        yield running


async def every(client: Any, tool: str, **arguments: Any) -> list[dict[str, Any]]:
    """All pages' answers."""
    pages, cursor = list[dict[str, Any]](), None
    while True:
        pages.append(await ask(client, tool, **arguments, cursor=cursor))
        if (cursor := pages[-1]["next_cursor"]) is None:
            return pages


def items(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for page in pages for item in page["items"]]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_one_ranking_over_all_platforms_with_copies_once(hub: Served, mode: str) -> None:
    async with hub.client(person(), mode) as client:
        found = items(await every(client, "search_tickets", query="gateway", priorities=["high"], limit=25))
    times = [datetime.fromisoformat(each["updated_at"]) for each in found]
    assert times == sorted(times, reverse=True)
    ids = [each["id"] for each in found]
    assert {name.split(":")[0] for name in ids} == {"salesforce", "hubspot", "zendesk"}
    assert len(set(ids)) == len(ids)
    shown_twice = [pair for pair in COPIES if pair <= set(ids)]
    assert not shown_twice
    named = {frozenset([each["id"], *each["copies"]]) for each in found if each["copies"]}
    assert named and named <= COPIES


async def test_the_same_in_small_and_large_pages(hub: Served) -> None:
    async with hub.client(person()) as client:
        for sort in ("newest", "relevance"):
            question = {"query": "calibration certificate", "sort": sort}
            large = [each["id"] for each in items(await every(client, "search_tickets", **question, limit=50))]
            small = [each["id"] for each in items(await every(client, "search_tickets", **question, limit=11))]
            assert small == large and len(large) > 20


async def test_a_platform_that_is_down_is_named_and_comes_later(hub: Served, crm: RunningSuite) -> None:
    question = {"query": "battery", "limit": 50}
    async with hub.client(person()) as client:
        whole = {each["id"] for each in items(await every(client, "search_tickets", **question))}
        await fault(crm, "hubspot", kind="error")
        first = await ask(client, "search_tickets", **question)
        assert not first["complete"] and first["sources"]["hubspot"]["state"] == "error"
        assert first["items"] and not any(each["id"].startswith("hubspot") for each in first["items"])
        down = items(await every(client, "search_tickets", **question))
        assert {each["id"] for each in down} == {name for name in whole if not name.startswith("hubspot")}
        await asyncio.to_thread(requests.delete, f"{crm.urls['hubspot']}/__control/faults", timeout=10)
        rest, cursor = list[dict[str, Any]](), first["next_cursor"]
        async with asyncio.timeout(60):
            while cursor:
                page = await ask(client, "search_tickets", **question, cursor=cursor)
                rest += page["items"]
                cursor = page["next_cursor"]
                if not page["complete"]:
                    await asyncio.sleep(0.5)  # until the breaker tries again
    assert {each["id"] for each in [*first["items"], *rest]} == whole


async def test_cursors_of_others_do_not_fit(hub: Served) -> None:
    async with hub.client(person()) as client:
        page = await ask(client, "search_tickets", query="battery", limit=3)
        with pytest.raises(ToolError, match="cursor"):
            await client.call_tool("search_tickets", {"query": "gateway", "limit": 3, "cursor": page["next_cursor"]})
    async with hub.client(person("oskar")) as client:
        with pytest.raises(ToolError, match="cursor"):
            await client.call_tool("search_tickets", {"query": "battery", "limit": 3, "cursor": page["next_cursor"]})


async def test_customers_by_words(hub: Served) -> None:
    async with hub.client(person()) as client:
        found = await ask(client, "search_customers", query="Dvořák")
    mirek = next(each for each in found["items"] if each["fields"]["email"] == MIREK)
    assert len(mirek["also"]) == 2 and found["complete"]


async def test_customers_of_a_platform_that_was_down_come_with_later_pages(hub: Served, crm: RunningSuite) -> None:
    question: dict[str, Any] = {"query": "Dvořák", "limit": 3}
    async with hub.client(person()) as client:
        whole = records(items(await every(client, "search_customers", **question)))
        await fault(crm, "hubspot", kind="error")
        page = await ask(client, "search_customers", **question)
        assert (
            not page["complete"]
            and page["next_cursor"]
            and not any("hubspot" in each for each in records(page["items"]))
        )
        found = records(page["items"])
        await asyncio.to_thread(requests.delete, f"{crm.urls['hubspot']}/__control/faults", timeout=10)
        while page["next_cursor"]:
            page = await ask(client, "search_customers", **question, cursor=page["next_cursor"])
            found |= records(page["items"])
        assert found == whole
        await fault(crm, "hubspot", kind="error")
        assert not any(each["complete"] for each in await every(client, "search_customers", **question))


def records(entries: list[dict[str, Any]]) -> set[str]:
    return {name for each in entries for name in [each["customer_id"], *each["also"]]}


async def test_text_of_tickets_is_fenced_and_flagged(hub: Served) -> None:
    async with hub.client(person()) as client:
        for ticket in [each for each in WORLD.tickets if each.injection][:6]:
            answer = await client.call_tool("get_ticket", {"ticket_id": ticket.key})
            text, mark = answer.content[0].text, "<untrusted-"
            assert mark in text and text.index(mark) < text.index(ticket.text.split()[0])
            assert answer.structured_content["suspicious"]


def test_orders_in_tickets_are_told_from_what_customers_write() -> None:
    wrong = [ticket.key for ticket in WORLD.tickets if untrusted(ticket.text, 20_000).suspicious != ticket.injection]
    assert not wrong


async def test_who_may_write(hub: Served) -> None:
    async with hub.client(person(role="user")) as client:
        assert not {"create_ticket", "add_comment", "update_ticket"} & {tool.name for tool in await client.list_tools()}
        with pytest.raises(ToolError, match="Unknown tool"):
            await client.call_tool("add_comment", {"ticket_id": "zendesk:20001", "text": "x", "key": "12345678"})
    async with hub.client(person(tenant="marlow")) as client:
        with pytest.raises(ToolError, match="may not see"):
            await client.call_tool("add_comment", {"ticket_id": "zendesk:20001", "text": "x", "key": "12345678"})


@pytest.mark.parametrize("platform", ["salesforce", "hubspot", "zendesk"])
async def test_writes_are_safe_to_repeat(hub: Served, platform: str) -> None:
    new = {"platform": platform, "requester": MIREK, "subject": "Logger lost", "text": "Gone since Monday"}
    async with hub.client(person()) as client:
        before = await ask(client, "get_customer_360", email=MIREK)
        key = uuid4().hex
        made, again = [await ask(client, "create_ticket", **new, key=key) for _ in range(2)]
        assert made["id"] == again["id"]
        with pytest.raises(ToolError, match="another change"):
            await client.call_tool("create_ticket", {**new, "subject": "Another", "key": key})
        after = await ask(client, "get_customer_360", email=MIREK)
        assert {each["id"] for each in after["tickets"]} - {each["id"] for each in before["tickets"]} == {made["id"]}
        key = uuid4().hex
        for _ in range(2):
            await ask(client, "add_comment", ticket_id=made["id"], text="Sent a new one", key=key)
        read = await ask(client, "get_ticket", ticket_id=made["id"])
        assert [each["text"] for each in read["comments"]] == ["Sent a new one"]
        change = {"ticket_id": made["id"], "seen": read["updated_at"], "status": "open"}
        key = uuid4().hex
        changed = [await ask(client, "update_ticket", **change, key=key) for _ in range(2)]
        assert [each["status"] for each in changed] == ["open", "open"]
        old = {**change, "seen": "2026-01-01T00:00:00Z", "status": "pending", "key": uuid4().hex}
        with pytest.raises(ToolError, match="Somebody changed"):
            await client.call_tool("update_ticket", old)
