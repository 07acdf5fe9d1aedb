"""A real browser goes through the support hub's pages; nothing is wrong in its console."""

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.browser import LOOKS, chromium, seen, sign_in, watch
from tests.support.crm import RunningSuite
from tests.support.hub import fault
from tests.support.hub_process import hub_process

MIREK = "mirek.dvorak@marlowdairies.example"
SASKIA = "saskia.lindqvist@basalt-dc.example"


@pytest.mark.slow
async def test_somebody_clicks_through(crm: RunningSuite, tmp_path: Path) -> None:
    async with (
        hub_process(crm, tmp_path, {"SUPPORT_SOURCE_SECONDS": "3"}) as (url, key),
        chromium() as browser,
    ):
        for scheme, width in LOOKS:
            page = await browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
            await _walk(page, url, key)
        await fault(crm, "zendesk", kind="hang")
        await _one_hangs(page, url)


async def _walk(page: Page, url: str, key: str) -> None:
    problems: list[str] = []
    watch(page, problems)
    page.on("response", lambda answer: problems.extend([answer.url] if answer.status >= 400 else []))
    await sign_in(page, url, key, "/console/customers")
    await page.fill("input[name=q]", "mirek")
    await page.keyboard.press("Enter")
    await page.click("table.customers th a")
    await page.locator("h1", has_text="Mirek Dvořák").wait_for()
    await seen(page)
    bar = page.locator("svg.timeline a").first
    await bar.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".conversation article")
    await seen(page)
    await page.click("nav >> text=Customers")
    await page.fill("input[name=q]", "0131 496 0641")
    await page.keyboard.press("Enter")
    await page.locator("h1", has_text="Mirek Dvořák").wait_for()
    await page.click("nav >> text=Tickets")
    await page.select_option("select[name=status]", "open")
    await page.click("main form button")
    await page.click("text=Next page")
    await page.locator("caption", has_text="A later page").wait_for()
    assert await page.locator("table.tickets tbody tr").count() == 20
    await seen(page)
    await page.click("nav >> text=Sources")
    await page.wait_for_selector("#live-control button")
    assert await page.locator("table.upstreams .badge.good").count() >= 3
    await seen(page)
    assert problems == []


async def _one_hangs(page: Page, url: str) -> None:
    await page.goto(f"{url}/console/customer?email={SASKIA}")
    assert "zendesk did not answer" in await page.inner_text(".notice.bad")
    await seen(page)
    await page.goto(f"{url}/console/sources")
    row = page.locator("table.asked tbody tr", has_text="zendesk")
    assert "timeout" in await row.inner_text()
    await seen(page)
