"""Freezes that are set in the console, and the pages of what ended."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from common.errors import Denied
from common.security.audit import tail
from common.security.principal import Principal
from devops.changes.operations import Scale
from tests.common.console.console_site import Site, form_token
from tests.support.breaking_glass import WHY, YES
from tests.support.changing import bench
from tests.support.operations import Served, ask, person, served

QUEUE, SET, LIFT = "/console/changes", "/console/change-freeze", "/console/change-freeze/lift"
SCALE = {"namespace": "production", "name": "web-portal", "replicas": 0}


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    async with served(tmp_path) as running:
        yield running


async def browser(server: Served, who: Principal) -> httpx2.AsyncClient:
    rights = (sorted(who.roles), sorted(who.groups), who.clearance)
    token = server.runtime.credentials.api_keys.create(who.subject, who.tenant, *rights)[1]
    return await Site(server.runtime, server.asgi).signed_in(token)


def in_hours(hours: float) -> str:
    return datetime.fromtimestamp(time.time() + hours * 3600, UTC).strftime("%Y-%m-%dT%H:%M")


async def test_an_admin_freezes_and_lifts(server: Served) -> None:
    root = await browser(server, person("root", "admin"))
    page = await root.get(QUEUE)
    fields = {"form_token": form_token(page, SET), "environment": "production", "reason": "the sale"}
    for until in ("", "yesterday", in_hours(-1), in_hours(91 * 24)):
        assert (await root.post(SET, data={**fields, "until": until})).status_code == 400, until
    for wrong in ({"environment": "nowhere"}, {"reason": " "}):
        assert (await root.post(SET, data={**fields, "until": in_hours(2), **wrong})).status_code == 400
    assert (await root.post(SET, data={**fields, "until": in_hours(2)})).status_code == 303
    page = await root.get(QUEUE)
    assert "production is frozen" in page.text and "the sale" in page.text
    assert "production is frozen" in (await root.get("/console/cluster")).text
    async with server.client(person("olga", "operator")) as client:
        with pytest.raises(Exception, match="production is frozen until .* root: the sale"):
            await ask(client, "scale_workload", **SCALE)
        freeze = page.text.partition('name="freeze" value="')[2].partition('"')[0]
        lift = {"form_token": form_token(page, LIFT), "freeze": freeze}
        assert (await root.post(LIFT, data=lift)).status_code == 303
        assert (await root.post(LIFT, data=lift)).status_code == 404
        assert (await ask(client, "scale_workload", **SCALE))["state"] == "awaiting_approval"
    actions = [record["action"] for record in await tail(server.runtime.engine, 30)]
    assert "freeze_changes" in actions and "lift_freeze" in actions


async def test_freezing_is_for_admins(server: Served) -> None:
    amir = await browser(server, person("amir", "approver"))
    assert SET not in (await amir.get(QUEUE)).text
    assert (await amir.post(SET, data={"environment": "*"})).status_code == 403
    assert (await amir.post(LIFT, data={"freeze": "x"})).status_code == 403


async def test_a_freeze_counts_at_once_everywhere_and_waits_for_nobody(tmp_path: Path) -> None:
    async with bench(tmp_path) as desk, bench(tmp_path) as other:
        approved = await desk.approve(await desk.plan(desk.person("olga", "operator")), desk.person("amir", "approver"))
        root, now = desk.person("root", "admin"), desk.built.changes.clock.now()
        freeze = await other.built.changes.freeze(root, "*", now + 3600, "the sale")
        with pytest.raises(Denied, match="frozen"):
            await desk.plan(desk.person("olga", "operator"))
        assert (await desk.execute(approved)).state == "approved"
        # Even a process that looked a moment ago is stopped: the claim itself asks.
        assert not await desk.built.store.claim(approved, "x", now + 60, now)
        await other.built.changes.lift(root, freeze.id)
        assert (await desk.execute(approved)).state == "succeeded"


async def test_what_ended_comes_page_by_page(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devops.console.LATEST", 2)
    async with server.client(person("olga", "operator")) as client:
        for replicas in (0, 1, 2, 3, 9):
            change = await ask(client, "scale_workload", **{**SCALE, "replicas": replicas})
            await ask(client, "cancel_change", change_id=change["change_id"])
    ann = await browser(server, person("ann", "auditor"))
    address, found = QUEUE, list[str]()
    for _ in range(3):
        page = (await ann.get(address)).text
        found += [part.partition('"')[0] for part in page.split('href="/console/changes/')[1:]]
        rest = page.partition('<a href="/console/changes?cursor=')[2].partition('"')[0]
        address = f"{QUEUE}?cursor={rest}"
    assert len(found) == len(set(found)) == 5 and not rest
    assert (await ann.get(f"{QUEUE}?cursor=broken")).status_code == 400


async def test_break_glass_gets_around_a_freeze_and_nobody_else_does(tmp_path: Path) -> None:
    async with bench(tmp_path, break_glass="on") as desk:
        olga, amir = desk.person("olga", "operator", "break-glass"), desk.person("amir", "break-glass")
        clock, breaking = desk.built.changes.clock, desk.built.changes.glass
        waits = await desk.approve(await desk.plan(olga), desk.person("ben", "approver"))
        await desk.built.changes.freeze(desk.person("root", "admin"), "production", clock.now() + 3600, "the sale")
        change = await desk.plan(olga, Scale(replicas=1))
        change = await breaking.ask(change, change.draft.digest, WHY, olga, clock.now())
        assert change.glass is not None
        change = await breaking.agree(change, change.glass.id, change.draft.digest, YES, amir, clock.now())
        assert (await desk.execute(waits)).state == "approved"
        assert (await desk.execute(change)).state == "succeeded" and await desk.replicas() == 1
