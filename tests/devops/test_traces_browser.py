"""Somebody follows one request in a real browser: from the audit trail, and from the steps of a change."""

from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from playwright.async_api import Browser

from common.settings import CommonSettings
from common.vertical import Served
from devops.server import build
from tests.support.browser import LOOKS, chromium, seen, sign_in, watch
from tests.support.live import live_at
from tests.support.operations import ask

IMAGES = {
    "light": "registry.fernhill.example/web-portal:2026.2.1",
    "dark": "registry.fernhill.example/web-portal:2026.2.3",
}


@pytest.mark.slow
async def test_somebody_follows_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    found: list[Served] = []

    def built(url: str) -> Any:
        found.append(build(CommonSettings(data_dir=tmp_path, rate_limit_burst=1000), url))
        return found[0].app

    async with live_at(built) as url, chromium() as browser:
        keys = found[0].runtime.credentials.api_keys
        roles = {"olga": ["operator"], "amir": ["approver", "auditor", "user"]}
        people = {name: keys.create(name, "local", given, ["engineering"])[1] for name, given in roles.items()}
        for number, (scheme, width) in enumerate(LOOKS):
            await _walk(browser, url, people, scheme, width, is_first=number == 0)


async def _walk(browser: Browser, url: str, keys: dict[str, str], scheme: Any, width: int, is_first: bool) -> None:
    page = await browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    problems: list[str] = []
    watch(page, problems)
    await sign_in(page, url, keys["amir"], "/console/traces")
    await page.locator("h1", has_text="Traces").wait_for()
    if is_first:
        assert await page.locator("h3", has_text="No requests yet").count() == 1
        await seen(page, f"traces-none-{scheme}")
    async with Client(f"{url}/mcp", auth=BearerAuth(keys["olga"])) as client:
        await ask(client, "diagnose", namespace="production", name="ingest-api")
        where = {"namespace": "production", "name": "web-portal", "container": "web-portal"}
        change = await ask(client, "set_image", **where, image=IMAGES[scheme])
    await page.reload()
    await seen(page, f"traces-latest-{scheme}")
    await page.goto(f"{url}/console/audit?action=diagnose")
    await page.locator("td.id a").first.click()
    await page.locator("h2", has_text="diagnose").wait_for()
    assert await page.locator("svg rect.at-cluster").count() > 3
    await seen(page, f"trace-{scheme}")
    # An id that somebody was told, without a mouse.
    wanted = await page.input_value("input[name=request_id]")
    await page.focus("input[name=request_id]")
    await page.keyboard.press("Control+A")
    await page.keyboard.type("no-such-request")
    await page.keyboard.press("Enter")
    await page.locator("h3", has_text="Nothing is known of this request").wait_for()
    await seen(page, f"trace-unknown-{scheme}")
    await page.fill("input[name=request_id]", wanted)
    await page.keyboard.press("Enter")
    await page.locator("h2", has_text="diagnose").wait_for()
    await page.goto(f"{url}/console/changes/{change['change_id']}")
    await page.click("button:text('Approve')")
    # A trace is there when what it tells of has ended.
    await page.locator("#rollout .badge", has_text="complete").wait_for()
    await page.reload()
    await page.locator("li", has_text="executing").locator("a").click()
    await page.locator("h2", has_text="execute_change").wait_for()
    assert await page.locator("th", has_text="update deployments.apps, simulated").count() == 1
    await seen(page, f"trace-change-{scheme}")
    assert problems == []
    await page.close()
