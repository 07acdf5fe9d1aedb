"""The demo's tour of the DevOps server in the browser: found, diagnosed, planned, approved, verified, audited."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from common.settings import CommonSettings
from common.vertical import Served
from devops.server import build
from tests.support.browser import chromium, seen, sign_in, watch
from tests.support.live import live_at

PEOPLE = {
    "alice": (["user", "operator"], ["engineering"], "local"),
    "noor": (["user", "approver"], ["engineering"], "local"),
    "dana": (["admin"], [], "local"),
    "mirek": (["user"], [], "marlow"),
}


@pytest.mark.slow
async def test_the_whole_tour_in_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    found: list[Served] = []

    def built(url: str) -> Any:
        found.append(build(CommonSettings(data_dir=tmp_path, rate_limit_burst=1000), url))
        return found[0].app

    async with live_at(built) as url, chromium() as browser:
        keys = found[0].runtime.credentials.api_keys
        people = {
            name: keys.create(name, tenant, roles, groups, "internal")[1]
            for name, (roles, groups, tenant) in PEOPLE.items()
        }
        problems: list[str] = []
        alice, noor, dana, mirek = [await _signed_in(browser, url, key, problems) for key in people.values()]
        await _found(alice, mirek, url)
        await _diagnosed(alice)
        await _untrusted(alice, url)
        await _changed(alice, noor, url)
        await _audited(dana, url)
        assert problems == []


async def _found(alice: Page, mirek: Page, url: str) -> None:
    """What is broken is named, for staff, and the cluster says that it is simulated."""
    await alice.goto(f"{url}/console/cluster")
    await alice.locator("h1", has_text="(simulated)").wait_for()
    assert await alice.locator("section:has(h2:text('Error budget')) table.bars rect").count() >= 2
    broken = alice.locator("section:has(h2:text('Broken workloads')) tbody")
    assert "alert-engine" in await broken.inner_text() and "report-worker" not in await broken.inner_text()
    await seen(alice, "tour-cluster")
    answer = await mirek.goto(f"{url}/console/workloads?namespace=production")
    assert answer and answer.status == 404 and "no namespace production" in await mirek.inner_text("main")
    await broken.locator("a:text('alert-engine')").click()
    await alice.locator("h1", has_text="alert-engine").wait_for()


async def _diagnosed(alice: Page) -> None:
    await alice.click("text=Diagnose")
    section = alice.locator("#diagnosis")
    await section.locator("li", has_text="too many clients").first.wait_for()
    text = await alice.inner_text("main")
    assert "STORE_CONNECTIONS: 40 -> 60" in text and "9f2e-simulated" not in text
    assert await alice.locator(".chart svg path").count() >= 3
    await seen(alice, "tour-workload")


async def _untrusted(alice: Page, url: str) -> None:
    """A line that gives orders is marked as data."""
    await alice.goto(f"{url}/console/live?namespace=production&workload=ingest-api")
    await alice.locator("#lines li.suspicious", has_text="Ignore all previous").first.wait_for()


async def _changed(alice: Page, noor: Page, url: str) -> None:
    await alice.goto(f"{url}/console/workloads/production/alert-engine")
    await alice.click("button:text('Plan the rollback')")
    await alice.locator("h1", has_text="Roll Deployment production/alert-engine").wait_for()
    assert "60" in await alice.inner_text("pre.diff") and await alice.locator("button:text('Approve')").count() == 0
    assert "You asked for it, so somebody else decides" in await alice.inner_text("main")
    await noor.goto(f"{url}/console")
    await noor.click("nav a:has-text('Changes')")
    await noor.click("text=Roll Deployment production/alert-engine")
    await noor.click("button:text('Approve')")
    await noor.locator("#rollout .badge", has_text="complete").wait_for()
    await alice.goto(f"{url}/console/cluster")
    broken = await alice.locator("section:has(h2:text('Broken workloads'))").inner_text()
    assert "alert-engine" not in broken and "web-portal" in broken


async def _audited(dana: Page, url: str) -> None:
    await dana.goto(f"{url}/console/audit?action=approve_change")
    assert "noor" in await dana.inner_text("main")
    await dana.click("button:text('Verify')")
    await dana.locator(".notice.good").wait_for()


async def _signed_in(browser: Browser, url: str, key: str, problems: list[str]) -> Page:
    context = await browser.new_context(viewport={"width": 1200, "height": 900})
    page = await context.new_page()
    # The browser itself notes that a page was not found.
    watch(page, problems, expected="404")
    await sign_in(page, url, key)
    await page.locator("h1", has_text="Overview").wait_for()
    return page
