"""Two records of one person, whom no address ties together: suggested, merged, shown as one, and undone."""

from pathlib import Path
from typing import Any

import pytest
from fastmcp.exceptions import ToolError

from infra.crm.seed.world import make_world
from support_hub.drafts import draft
from support_hub.records import Order
from tests.support.crm import RunningSuite
from tests.support.hub import ask, fault, person, served, settings_of
from tests.support_hub.test_webhooks import WORLD


def divided() -> tuple[str, str]:
    """Records of one person in Zendesk and in HubSpot under different addresses."""
    hubspot = {each.person: each for each in make_world().listings if each.platform == "hubspot" and each.email}
    for each in make_world().listings:
        other = hubspot.get(each.person)
        if (
            each.platform == "zendesk"
            and each.email
            and other
            and other.email != each.email
            and each.last == other.last
        ):
            return f"zendesk:{each.record_id}", f"hubspot:{other.record_id}"
    raise AssertionError("the seed has none")


FIRST, SECOND = divided()


def ids(found: dict[str, Any]) -> set[str]:
    return {each["id"] for each in found["records"]}


async def test_a_merge_is_suggested_made_shown_and_undone(crm: RunningSuite, tmp_path: Path) -> None:
    settings = {**settings_of(crm), "SUPPORT_SOURCE_SECONDS": "8"}
    async with served(tmp_path, settings) as hub, hub.client(person()) as client:
        before = ids(await ask(client, "get_customer_360", customer_id=FIRST))
        assert FIRST in before and SECOND not in before
        offered = await ask(client, "list_merge_suggestions", customer_id=FIRST, limit=50)
        [mine] = [each for each in offered["items"] if each["customer_id"] == SECOND]
        assert offered["complete"] and mine["evidence"] and mine["of"] in before and offered["merged"] == []

        made = await ask(client, "merge_customers", first=mine["of"], second=SECOND)
        assert made == {**await ask(client, "merge_customers", first=SECOND, second=mine["of"]), "at": made["at"]}
        merged = await ask(client, "get_customer_360", customer_id=FIRST)
        assert ids(merged) >= before | {SECOND} and merged["complete"]
        assert ids(await ask(client, "get_customer_360", customer_id=SECOND)) >= {mine["of"], SECOND}
        listed = await ask(client, "list_merge_suggestions", customer_id=FIRST)
        assert [each["merge_id"] for each in listed["merged"]] == [made["merge_id"]]

        for _ in range(2):
            assert (await ask(client, "undo_merge", merge_id=made["merge_id"]))["undone"]
        assert ids(await ask(client, "get_customer_360", customer_id=FIRST)) == before
        again = await ask(client, "merge_customers", first=mine["of"], second=SECOND)
        assert again["merge_id"] == made["merge_id"] and not again["undone"]


async def test_suggestions_without_a_platform_say_so(crm: RunningSuite, tmp_path: Path) -> None:
    async with served(tmp_path, settings_of(crm)) as hub, hub.client(person()) as client:
        await fault(crm, "zendesk", kind="error", path="/api/v2/users/search")
        offered = await ask(client, "list_merge_suggestions", customer_id=FIRST)
        assert not offered["complete"] and offered["sources"]["zendesk"]["state"] == "error"
        assert {offered["sources"][name]["state"] for name in ("salesforce", "hubspot")} <= {"ok", "not_found"}


async def test_what_shares_nothing_is_not_merged(crm: RunningSuite, tmp_path: Path) -> None:
    one, other = [f"zendesk:{each.record_id}" for each in WORLD.listings if each.platform == "zendesk"][:60:59]
    async with served(tmp_path, settings_of(crm)) as hub:
        async with hub.client(person()) as client:
            for second in (other, one, "zendesk:1", "nobody:1"):
                with pytest.raises(ToolError):
                    await client.call_tool("merge_customers", {"first": one, "second": second})
            with pytest.raises(ToolError, match="There is no merge"):
                await client.call_tool("undo_merge", {"merge_id": "merge-0123456789abcdef"})
        async with hub.client(person("ute", "user")) as client:
            names = {tool.name for tool in await client.list_tools()}
            assert "list_merge_suggestions" in names
            assert not {"merge_customers", "undo_merge", "draft_reply"} & names


async def test_a_draft_has_the_customers_own_words_and_is_not_sent(crm: RunningSuite, tmp_path: Path) -> None:
    ticket = next(t for t in WORLD.tickets if t.platform == "zendesk" and t.status == "open" and t.listing.email)
    async with served(tmp_path, settings_of(crm)) as hub, hub.client(person()) as client:
        before = await ask(client, "get_ticket", ticket_id=ticket.key)
        found = await ask(client, "draft_reply", ticket_id=ticket.key, kind="ask_for_details")
        assert found["to"] == ticket.listing.email and not found["sent"]
        assert " ".join(ticket.subject.split())[:120] in found["text"] and found["text"].startswith("Dear ")
        assert await ask(client, "get_ticket", ticket_id=ticket.key) == before


def test_words_of_others_are_not_filled_in() -> None:
    orders: list[Order] = []
    text = draft("acknowledge", "$name {0}\n\nDear all,", "Ada\n$subject", orders, "zendesk:1")
    assert text.startswith("Dear Ada $subject,\n\n") and "“$name {0} Dear all,”" in text
