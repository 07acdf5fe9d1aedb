"""The support hub's part of the demo: one customer out of all systems, one search over all, and what if one hangs."""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from common.settings import load_settings
from common.tour import Narrator, Stage
from support_hub.settings import SupportSettings

CUSTOMER = "mirek.dvorak@marlowdairies.example"
DISPUTED = "thomas.redfern@amberleybiologics.example"
"""Two platforms have different telephone numbers of him, and one conversation with him stands in two of them."""
DIVIDED = "samantha.pritchard@amberleybiologics.example"
"""An import wrote her a second time, under another address."""
HANGING = "saskia.lindqvist@basalt-dc.example"
SLOW_SECONDS = 0.5


async def tell(narrator: Narrator, stage: Stage) -> None:
    """The whole part."""
    await _everything(narrator, stage)
    await _slow_and_disputed(narrator, stage)
    await _one_search(narrator, stage)
    await _merged(narrator, stage)
    await _one_hangs(narrator, stage)


async def _everything(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "Support hub: one customer", "All platforms are asked at once. They are simulated here, and say so."
    )
    narrator.ask("maureen", f"What is going on with {CUSTOMER}?")
    async with stage.client("maureen") as maureen:
        found = (await maureen.call_tool("get_customer_360", {"email": CUSTOMER})).structured_content
    for field, fact in found["customer"].items():
        narrator.answer(f"{fact['value']}  ({fact['source']}, {fact['rule']})", field)
    _sources(narrator, found)
    narrator.check(
        found["complete"] and bool(found["orders"] and found["tickets"]), "tickets, orders, profile are there"
    )
    async with stage.client("mirek") as mirek:
        refused = ""
        try:
            await mirek.call_tool("get_customer_360", {"email": CUSTOMER})
        except Exception as error:
            refused = str(error)
    narrator.answer(refused, "mirek")
    narrator.check("may not see" in refused, "somebody of another company sees no customers, not even himself")


async def _slow_and_disputed(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "Support hub: one platform is slow, two disagree",
        "The answer takes as long as the slowest source, not as all of them together, and shows both values.",
    )
    narrator.ask("maureen", f"How do I reach {DISPUTED}?")
    fault = {"kind": "latency", "seconds": SLOW_SECONDS, "path": "/services/data/*"}
    async with faulty("salesforce", fault), stage.client("maureen") as maureen:
        started = time.monotonic()
        found = (await maureen.call_tool("get_customer_360", {"email": DISPUTED})).structured_content
        took = time.monotonic() - started
    _sources(narrator, found)
    waits = {name: source["seconds"] for name, source in found["sources"].items()}
    narrator.check(
        found["complete"] and SLOW_SECONDS <= waits["salesforce"] == max(waits.values()),
        f"Salesforce took {waits['salesforce'] * 1000:.0f} ms, the whole answer {took * 1000:.0f} ms",
    )
    disputed = [each for each in found["conflicts"] if each["field"] == "phone"]
    for each in disputed:
        for says in (each["chosen"], *each["others"]):
            narrator.answer(f"{says['value']}  ({says['source']}, changed {says['updated_at'][:10]})", "phone")
    values = {says["value"] for each in disputed for says in (each["chosen"], *each["others"])}
    newest = all(each["chosen"]["updated_at"] >= says["updated_at"] for each in disputed for says in each["others"])
    narrator.check(len(values) == 2 and newest, "both numbers are shown, and the rule: changed last")


async def _one_search(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "Support hub: one search over three platforms",
        "One order, one cursor, and a conversation kept twice shown once.",
    )
    narrator.ask("maureen", "Which tickets about alarms moved last?")
    shown: list[dict[str, Any]] = []
    async with stage.client("maureen") as maureen:
        cursor = None
        for _ in range(3):
            asked = {"query": "alarm", "limit": 10, "cursor": cursor}
            page = (await maureen.call_tool("search_tickets", asked)).structured_content
            shown += page["items"]
            cursor = page["next_cursor"]
        his = (await maureen.call_tool("search_tickets", {"requester": DISPUTED, "limit": 50})).structured_content
    for ticket in shown[:5]:
        narrator.answer(f"{ticket['updated_at'][:10]}  {ticket['subject']}", ticket["id"].split(":")[0])
    times = [datetime.fromisoformat(ticket["updated_at"]) for ticket in shown]
    narrator.check(
        len({ticket["id"] for ticket in shown}) == len(shown) == 30 and times == sorted(times, reverse=True),
        "three pages of one cursor: in order, none twice",
    )
    narrator.check(
        {ticket["id"].split(":")[0] for ticket in shown} == {"salesforce", "hubspot", "zendesk"},
        "they come from all three platforms",
    )
    twice = [ticket for ticket in his["items"] if ticket["copies"]]
    ids = {ticket["id"] for ticket in his["items"]}
    for ticket in twice:
        narrator.answer(f"{ticket['subject']}  (also {', '.join(ticket['copies'])})", ticket["id"].split(":")[0])
    narrator.check(
        bool(twice) and not any(copy in ids for ticket in twice for copy in ticket["copies"]),
        "a conversation that Zendesk and Salesforce keep is shown once, with its copy named",
    )


async def _merged(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "Support hub: two records, one customer",
        "Nothing is merged by a guess: the evidence is shown, a person decides, and it can be taken back.",
    )
    narrator.ask("maureen", f"Is {DIVIDED} anywhere else in our systems?")
    async with stage.client("maureen") as maureen:
        before = await _records(maureen)
        offered = (await maureen.call_tool("list_merge_suggestions", {"email": DIVIDED})).structured_content
        for each in offered["items"][:3]:
            narrator.answer(f"{each['customer_id']}: {', '.join(each['evidence'])}", f"{each['score']:.2f}")
        narrator.check(
            bool(offered["items"] and offered["items"][0]["evidence"]), "each record comes with its evidence"
        )
        first = offered["items"][0]
        pair = {"first": first["of"], "second": first["customer_id"]}
        made = (await maureen.call_tool("merge_customers", pair)).structured_content
        merged = await _records(maureen)
        narrator.check(merged >= before | {first["customer_id"]}, "merged: one answer has the records of both")
        await maureen.call_tool("undo_merge", {"merge_id": made["merge_id"]})
        narrator.check(await _records(maureen) == before, "undone: they are two customers again")


async def _records(client: Any) -> set[str]:
    found = (await client.call_tool("get_customer_360", {"email": DIVIDED})).structured_content
    return {each["id"] for each in found["records"]}


async def _one_hangs(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "Support hub: a platform hangs", "The answer comes in time, with what arrived, and says what is missing."
    )
    async with faulty("zendesk", {"kind": "hang", "path": "/api/*"}), stage.client("maureen") as maureen:
        found = (await maureen.call_tool("get_customer_360", {"email": HANGING})).structured_content
    _sources(narrator, found)
    narrator.check(found["sources"]["zendesk"]["state"] in ("timeout", "error"), "Zendesk is named as missing")
    others = [each["state"] for name, each in found["sources"].items() if name != "zendesk"]
    narrator.check(not found["complete"] and "ok" in others, "the others' answers are there")


def _sources(narrator: Narrator, found: dict[str, Any]) -> None:
    for name, source in found["sources"].items():
        narrator.answer(f"{source['state']} in {source['seconds'] * 1000:.0f} ms  {source['note']}", name)


@asynccontextmanager
async def faulty(platform: str, fault: dict[str, Any]) -> AsyncIterator[None]:
    """The simulated platform has this fault while the context lasts."""
    url = f"{getattr(load_settings(SupportSettings), f'{platform}_url')}/__control/faults"
    await asyncio.to_thread(_switch, url, [fault])
    try:
        yield
    finally:
        await asyncio.to_thread(_switch, url, [])


def _switch(url: str, faults: list[dict[str, Any]]) -> None:
    request = urllib.request.Request(url, json.dumps(faults).encode(), method="PUT")  # noqa: S310 - our simulator
    with urllib.request.urlopen(request, timeout=5):  # noqa: S310
        pass
