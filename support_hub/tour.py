"""The support hub's part of the demo: one customer out of all systems, and what happens when one of them hangs."""

import asyncio
import json
import urllib.request
from typing import Any

from common.settings import load_settings
from common.tour import Narrator, Stage
from support_hub.settings import SupportSettings

CUSTOMER = "mirek.dvorak@marlowdairies.example"
SLOW = "saskia.lindqvist@basalt-dc.example"


async def tell(narrator: Narrator, stage: Stage) -> None:
    """The whole part."""
    await _everything(narrator, stage)
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


async def _one_hangs(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "Support hub: a platform hangs", "The answer comes in time, with what arrived, and says what is missing."
    )
    zendesk = load_settings(SupportSettings).zendesk_url
    await asyncio.to_thread(_switch, f"{zendesk}/__control/faults", [{"kind": "hang", "path": "/api/*"}])
    try:
        async with stage.client("maureen") as maureen:
            found = (await maureen.call_tool("get_customer_360", {"email": SLOW})).structured_content
    finally:
        await asyncio.to_thread(_switch, f"{zendesk}/__control/faults", [])
    _sources(narrator, found)
    narrator.check(found["sources"]["zendesk"]["state"] in ("timeout", "error"), "Zendesk is named as missing")
    others = [each["state"] for name, each in found["sources"].items() if name != "zendesk"]
    narrator.check(not found["complete"] and "ok" in others, "the others' answers are there")


def _sources(narrator: Narrator, found: dict[str, Any]) -> None:
    for name, source in found["sources"].items():
        narrator.answer(f"{source['state']} in {source['seconds'] * 1000:.0f} ms  {source['note']}", name)


def _switch(url: str, faults: list[dict[str, Any]]) -> None:
    request = urllib.request.Request(url, json.dumps(faults).encode(), method="PUT")  # noqa: S310 - our simulator
    with urllib.request.urlopen(request, timeout=5):  # noqa: S310
        pass
