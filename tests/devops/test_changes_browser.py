"""Changes in a real browser: a freeze, break-glass by two people, a rollout that moves and stands still."""

from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from playwright.async_api import Browser, Page

from common.settings import CommonSettings
from common.vertical import Served
from devops.server import build
from tests.support.breaking_glass import WHY, YES
from tests.support.browser import LOOKS, chromium, seen, sign_in, watch
from tests.support.live import live_at
from tests.support.operations import ask

IMAGE = {"namespace": "production", "name": "web-portal", "container": "web-portal"}
GOOD = {
    "light": "registry.fernhill.example/web-portal:2026.2.1",
    "dark": "registry.fernhill.example/web-portal:2026.2.3",
}
MISSING = "registry.fernhill.example/web-portal:2026.9.9"


@pytest.mark.slow
async def test_two_people_in_two_browsers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    monkeypatch.setenv("DEVOPS_BREAK_GLASS", "on")
    found: list[Served] = []

    def built(url: str) -> Any:
        found.append(build(CommonSettings(data_dir=tmp_path, rate_limit_burst=1000), url))
        return found[0].app

    async with live_at(built) as url, chromium() as browser:
        keys = found[0].runtime.credentials.api_keys
        roles = {"root": ["admin"], "olga": ["operator", "break-glass"], "amir": ["approver", "break-glass"]}
        people = {name: keys.create(name, "local", given, ["engineering"])[1] for name, given in roles.items()}
        for scheme, width in LOOKS:
            await _walk(browser, url, people, scheme, width)


async def _walk(browser: Browser, url: str, keys: dict[str, str], scheme: Any, width: int) -> None:
    problems: list[str] = []
    root, olga, amir = [await _signed_in(browser, url, keys[name], scheme, width, problems) for name in keys]
    good = await _planned(url, keys["olga"], GOOD[scheme])
    await amir.goto(good)
    await seen(amir, f"change-{scheme}")
    await amir.click("button:text('Approve')")
    await amir.locator("#rollout .badge", has_text="complete").wait_for()
    await root.select_option("select[name=environment]", "production")
    await root.fill("section:has(h2:text('Freeze')) input[name=reason]", "the sale of the year")
    await root.click("button:text('Freeze')")
    await root.locator("h2", has_text="production is frozen").wait_for()
    await seen(root, f"changes-frozen-{scheme}")
    address = await _planned(url, keys["olga"], MISSING)
    await olga.goto(address)
    await olga.fill("input[name=reason]", WHY)
    await olga.click("button:text('Ask to break the glass')")
    await olga.locator(".alarm", has_text="Break-glass is asked for").wait_for()
    await amir.goto(f"{url}/console")
    await amir.locator(".alarm", has_text=WHY).wait_for()
    assert "1" in await amir.locator("nav .waits").inner_text()
    await seen(amir, f"glass-alarm-{scheme}")
    await amir.click(".alarm a")
    await seen(amir, f"glass-asked-{scheme}")
    await amir.fill("section:has(h2:text('Break-glass')) input[name=reason]", YES)
    await amir.click("button:text('Break the glass')")
    # The page moves by itself until the rollout stands still.
    await amir.locator("#rollout .badge", has_text="stuck").wait_for()
    assert await amir.locator("#rollout progress").get_attribute("max") == "4"
    await seen(amir, f"rollout-stuck-{scheme}")
    await amir.goto(f"{url}/console/break-glass")
    await amir.locator("td", has_text=YES).first.wait_for()
    await seen(amir, f"glass-history-{scheme}")
    await root.goto(f"{url}/console/changes")
    await root.click("button:text('Lift it now')")
    await root.locator("h2", has_text="production is frozen").wait_for(state="detached")
    await olga.goto(address)
    await olga.click("button:text('Plan the rollback')")
    await olga.locator("h1", has_text="Roll Deployment production/web-portal").wait_for()
    await amir.goto(olga.url)
    await amir.click("button:text('Approve')")
    await amir.locator("#rollout .badge", has_text="complete").wait_for()
    await seen(amir, f"rollout-complete-{scheme}")
    await root.goto(f"{url}/console/changes")
    await seen(root, f"changes-{scheme}")
    assert problems == []
    for page in (root, olga, amir):
        await page.context.close()


async def _planned(url: str, key: str, image: str) -> str:
    """The page of a new change."""
    async with Client(f"{url}/mcp", auth=BearerAuth(key)) as client:
        change = await ask(client, "set_image", **IMAGE, image=image)
    return f"{url}/console/changes/{change['change_id']}"


async def _signed_in(browser: Browser, url: str, key: str, scheme: Any, width: int, problems: list[str]) -> Page:
    context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = await context.new_page()
    watch(page, problems)
    await sign_in(page, url, key, "/console/changes")
    await page.locator("h1", has_text="Changes").wait_for()
    return page
