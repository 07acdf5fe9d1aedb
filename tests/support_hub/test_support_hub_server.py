"""The tools through HTTP, in both protocol eras, over the simulated platforms."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from fastmcp.exceptions import ToolError

from tests.support.crm import RunningSuite
from tests.support.hub import Served, ask, person, served, settings_of

MIREK = "mirek.dvorak@marlowdairies.example"


@pytest.fixture
async def hub(crm: RunningSuite, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, settings_of(crm)) as running:
        yield running


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_customer_from_all_sources(hub: Served, mode: str) -> None:
    async with hub.client(person(), mode) as client:
        found = await ask(client, "get_customer_360", email=MIREK)
    assert found["complete"] and {each["state"] for each in found["sources"].values()} <= {"ok", "not_found"}
    assert found["customer"]["name"]["value"] == "Mirek Dvořák"
    assert found["customer"]["phone"]["value"] == "+441314960641"
    assert found["profile"]["email"] == MIREK
    assert found["orders"] and found["tickets"] and found["timeline"]


async def test_by_telephone_and_by_id(hub: Served) -> None:
    async with hub.client(person()) as client:
        by_email = await ask(client, "get_customer_360", email=MIREK)
        by_phone = await ask(client, "get_customer_360", phone="0131 496 0641")
        by_id = await ask(client, "get_customer_360", customer_id=by_email["records"][0]["id"])
    assert by_email["customer"] == by_phone["customer"] == by_id["customer"]
    assert by_email["orders"] == by_id["orders"]


async def test_who_may_use_what(hub: Served) -> None:
    async def tools(**who: str) -> set[str]:
        async with hub.client(person(**who)) as client:  # type: ignore[arg-type]
            return {tool.name for tool in await client.list_tools()}

    assert await tools(clearance="public") == {"search_products", "get_product"}
    assert "get_customer_360" in await tools(role="user")
    assert await tools(role="stranger") == set()


async def test_customers_of_another_tenant_do_not_show(hub: Served) -> None:
    async with hub.client(person(tenant="marlow")) as client:
        for tool, arguments in {
            "get_customer_360": {"email": MIREK},
            "get_timeline": {"email": MIREK},
            "list_orders": {"email": MIREK},
            "get_order": {"number": "SO-2600180"},
        }.items():
            with pytest.raises(ToolError, match="may not see"):
                await client.call_tool(tool, arguments)


async def test_nobody_of_that_name(hub: Served) -> None:
    async with hub.client(person()) as client:
        with pytest.raises(ToolError, match="No source knows"):
            await client.call_tool("get_customer_360", {"email": "nobody@nowhere.example"})
        with pytest.raises(ToolError, match="exactly one"):
            await client.call_tool("get_customer_360", {"email": MIREK, "phone": "+441314960641"})
        with pytest.raises(ToolError, match="no e-mail address"):
            await client.call_tool("get_customer_360", {"email": 'a" OR type:user "@b.c'})


async def test_orders_and_products(hub: Served) -> None:
    async with hub.client(person()) as client:
        order = await ask(client, "get_order", number="SO-2600180")
        assert [line["delivered"] for line in order["lines"]] == [40, 0]
        email = order["email"]
        first = await ask(client, "list_orders", email=email, limit=1)
        assert first["items"][0]["number"]
        found = await ask(client, "search_products", query="vibration sensor", limit=1)
        assert found["items"][0]["sku"].startswith("VX3") and found["next_cursor"]
        more = await ask(client, "search_products", query="vibration sensor", limit=1, cursor=found["next_cursor"])
        assert more["items"][0]["sku"] != found["items"][0]["sku"]
        assert (await ask(client, "get_product", sku="tp-4"))["warranty_months"]
        assert (await ask(client, "search_products", query='"; DROP TABLE -- NEAR( OR *'))["items"] == []


async def test_a_timeline_in_pages(hub: Served) -> None:
    async with hub.client(person()) as client:
        whole = await ask(client, "get_timeline", email=MIREK, limit=50)
        pieces, cursor = [], None
        while True:
            part = await ask(client, "get_timeline", email=MIREK, limit=3, cursor=cursor)
            pieces += part["items"]
            if (cursor := part["next_cursor"]) is None:
                break
    assert pieces[:50] == whole["items"]
    times = [datetime.fromisoformat(each["at"]) for each in pieces]
    assert times == sorted(times, reverse=True)
    async with hub.client(person("another")) as client:
        first = await ask(client, "get_timeline", email=MIREK, limit=3)
        assert first["next_cursor"]
    async with hub.client(person()) as client:
        with pytest.raises(ToolError, match="cursor"):
            await client.call_tool("get_timeline", {"email": MIREK, "cursor": first["next_cursor"]})
