"""Each state that a source can be in, made by the simulated platforms' fault switch."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from common.databases import create_engine
from common.settings import CommonSettings
from infra.seed.support import load_support
from tests.services.postgres import new_database
from tests.support.crm import RunningSuite
from tests.support.hub import ask, environment, fault, person, served, settings_of

MIREK = "mirek.dvorak@marlowdairies.example"
SECONDS = 1.0


async def states(folder: Path, settings: dict[str, str], calls: int = 1) -> list[dict[str, Any]]:
    """The answers to the same question, asked of a server that knows nothing yet, and how long each took."""
    given = {**settings, "SUPPORT_SOURCE_SECONDS": str(SECONDS), "SUPPORT_FRESH_SECONDS": "0.05"}
    found = []
    async with served(folder, given) as hub, hub.client(person()) as client:
        for _ in range(calls):
            started = time.monotonic()
            answer = await ask(client, "get_customer_360", email=MIREK)
            found.append({**answer, "took": time.monotonic() - started})
    return found


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        ({"kind": "hang"}, "timeout"),
        ({"kind": "error"}, "error"),
        ({"kind": "broken_json"}, "error"),
        ({"kind": "reset"}, "error"),
        ({"kind": "rate_limit", "retry_after": 30}, "error"),
    ],
)
@pytest.mark.parametrize("platform", ["salesforce", "hubspot", "zendesk"])
async def test_one_source_fails_and_the_others_answer(
    crm: RunningSuite, tmp_path: Path, platform: str, rule: dict[str, Any], state: str
) -> None:
    await fault(crm, platform, **rule)
    [found] = await states(tmp_path, settings_of(crm))
    assert found["sources"][platform]["state"] in (state, "timeout") and found["sources"][platform]["note"]
    others = {name: each["state"] for name, each in found["sources"].items() if name != platform}
    assert set(others.values()) == {"ok"} and not found["complete"]
    assert found["customer"]["name"]["value"] == "Mirek Dvořák"


@pytest.mark.parametrize(
    ("statement", "state"),
    [("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE", "timeout"), ("ALTER TABLE orders RENAME TO gone", "error")],
)
async def test_the_order_database_hangs_or_fails(
    crm: RunningSuite, tmp_path: Path, postgres_url: str, statement: str, state: str
) -> None:
    """A lock that somebody holds, or a table that is not there: marked, and nothing of another customer's shown."""
    async with new_database(postgres_url) as url:
        given = {**settings_of(crm), "SUPPORT_POSTGRES_URL": url, "SUPPORT_SOURCE_SECONDS": str(SECONDS)}
        with environment(given):
            await load_support(CommonSettings(data_dir=tmp_path))
        (tmp_path / "support-hub").mkdir(exist_ok=True)
        async with served(tmp_path, given) as hub, hub.client(person()) as client:
            engine = create_engine(url)
            async with engine.connect() as blocking:
                await blocking.execute(text(statement))
                if state == "error":
                    await blocking.commit()
                found = await ask(client, "get_customer_360", email=MIREK)
                await blocking.rollback()
            if state == "error":
                async with engine.begin() as connection:
                    await connection.execute(text("ALTER TABLE gone RENAME TO orders"))
            await engine.dispose()
            healed = await ask(client, "get_customer_360", email=MIREK)
    assert found["sources"]["orders"]["state"] == state and not found["complete"] and found["orders"] == []
    assert {found["sources"][name]["state"] for name in ("salesforce", "hubspot", "zendesk")} == {"ok"}
    assert healed["complete"] and healed["orders"]


async def test_forbidden(crm: RunningSuite, tmp_path: Path) -> None:
    settings = {**settings_of(crm), "SUPPORT_HUBSPOT_TOKEN": "pat-eu1-of-somebody-else"}
    [found] = await states(tmp_path, settings)
    assert found["sources"]["hubspot"]["state"] == "forbidden"
    assert "pat-eu1" not in str(found)


async def test_not_found_is_complete(crm: RunningSuite, tmp_path: Path) -> None:
    await fault(crm, "hubspot", kind="error")
    alone = settings_of(crm, "zendesk")
    async with served(tmp_path, alone) as hub, hub.client(person()) as client:
        found = await ask(client, "get_customer_360", email="saskia.lindqvist@basalt-dc.example")
    assert found["complete"]


async def test_an_old_answer_is_better_than_none(crm: RunningSuite, tmp_path: Path) -> None:
    given = {**settings_of(crm), "SUPPORT_SOURCE_SECONDS": str(SECONDS), "SUPPORT_FRESH_SECONDS": "0.05"}
    async with served(tmp_path, given) as hub, hub.client(person()) as client:
        before = await ask(client, "get_customer_360", email=MIREK)
        await fault(crm, "zendesk", kind="error")
        await asyncio.sleep(0.06)  # until the answer is no longer fresh
        after = await ask(client, "get_customer_360", email=MIREK)
    assert before["sources"]["zendesk"]["state"] == "ok" and after["sources"]["zendesk"]["state"] == "stale"
    assert after["complete"] and after["tickets"] == before["tickets"]


async def test_a_hanging_source_costs_its_deadline_once_and_then_nothing(crm: RunningSuite, tmp_path: Path) -> None:
    await fault(crm, "zendesk", kind="hang")
    given = {**settings_of(crm), "SUPPORT_SOURCE_SECONDS": str(SECONDS)}
    async with served(tmp_path, given) as hub, hub.client(person()) as client:
        started = time.monotonic()
        first = await ask(client, "get_customer_360", email=MIREK)
        assert SECONDS * 0.9 <= time.monotonic() - started <= SECONDS + 1.5
        assert first["sources"]["zendesk"]["state"] == "timeout"
        async with asyncio.timeout(30):
            while "does not answer at the moment" not in first["sources"]["zendesk"]["note"]:
                first = await ask(client, "get_customer_360", email=MIREK)
        first = await ask(client, "get_customer_360", email=MIREK)
        assert first["sources"]["zendesk"]["seconds"] < SECONDS / 2
        assert {each["state"] for name, each in first["sources"].items() if name != "zendesk"} == {"ok"}
        await asyncio.to_thread(requests.delete, f"{crm.urls['zendesk']}/__control/faults", timeout=10)
        async with asyncio.timeout(30):
            while (await ask(client, "get_customer_360", email=MIREK))["sources"]["zendesk"]["state"] != "ok":
                await asyncio.sleep(0.2)


async def test_an_ended_token_is_renewed_unseen(crm: RunningSuite, tmp_path: Path) -> None:
    async with served(tmp_path, settings_of(crm)) as hub, hub.client(person()) as client:
        await ask(client, "get_customer_360", email=MIREK)
        for name in ("salesforce", "zendesk"):
            await asyncio.to_thread(requests.post, f"{crm.urls[name]}/__control/expire-tokens", timeout=10)
        found = await ask(client, "get_customer_360", email="saskia.lindqvist@basalt-dc.example")
    assert found["complete"]
