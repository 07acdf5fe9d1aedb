"""A real browser looks at the cluster and follows its lines; nothing is wrong in its console."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.settings import CommonSettings
from common.vertical import Served
from devops.adapters.simulated import cluster as simulated_cluster
from devops.server import build
from tests.support.browser import LOOKS, chromium, seen, sign_in, watch
from tests.support.live import live_at


@pytest.mark.slow
async def test_somebody_follows_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    began, loop = time.time(), asyncio.get_running_loop()
    started = loop.time()
    hasty = lambda: began + (loop.time() - started) * 30  # noqa: E731
    monkeypatch.setattr(simulated_cluster.SimulatedCluster.__init__, "__defaults__", (hasty,))
    found: list[Served] = []

    def built(url: str) -> Any:
        found.append(build(CommonSettings(data_dir=tmp_path, rate_limit_burst=1000), url))
        return found[0].app

    async with live_at(built) as url, chromium() as browser:
        keys = found[0].runtime.credentials.api_keys
        _, key = keys.create("alice", "local", ["admin"], ["engineering"], "internal")
        for scheme, width in LOOKS:
            await _walk(browser, url, key, scheme, width)


async def _walk(browser: Browser, url: str, key: str, scheme: Any, width: int) -> None:
    page = await browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    problems: list[str] = []
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    watch(page, problems)
    await sign_in(page, url, key, "/console/cluster")
    await page.locator("h1", has_text="fern-ams-1 (simulated)").wait_for()
    assert await page.locator("table.bars svg rect.broken").count() >= 3
    await seen(page, f"cluster-{scheme}")
    await page.click("nav >> text=Live")
    await page.locator("h3", has_text="Choose what to follow").wait_for()
    await seen(page, f"live-empty-{scheme}")
    await page.select_option("select[name=namespace]", "production")
    await page.fill("input[name=workload]", "ingest-api")
    await page.keyboard.press("Enter")
    await page.locator("#state", has_text="Live").wait_for()
    await page.wait_for_selector("#lines li.suspicious")
    await _keys(page)
    await seen(page, f"live-{scheme}")
    await page.goto(f"{url}/console/live?show=events")
    await page.wait_for_selector("#lines li.warning")
    await seen(page, f"events-{scheme}")
    await page.goto(f"{url}/console/live?namespace=production&workload=nothing")
    await page.locator("#state", has_text="no workload nothing").wait_for()
    assert problems == [] and len(sockets) == 3
    await page.close()


class Way:
    """What lies between browser and server: it breaks the first WebSocket off, or lets none through."""

    def __init__(self, app: ASGIApp, lets_through: bool) -> None:
        self.app, self.lets_through = app, lets_through
        self.opened = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return await self.app(scope, receive, send)
        if not self.lets_through:
            return await send({"type": "websocket.close"})
        self.opened += 1
        sent, first = 0, self.opened == 1

        async def breaking(message: Message) -> None:
            nonlocal sent
            sent += message["type"] == "websocket.send"
            await send({"type": "websocket.close", "code": 1012} if first and sent == 3 else message)
            if first and sent == 3:
                raise OSError("broken off")

        await self.app(scope, receive, breaking)


@pytest.mark.slow
@pytest.mark.parametrize("lets_through", [True, False])
async def test_lines_come_whatever_the_way_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lets_through: bool
) -> None:
    began, loop = time.time(), asyncio.get_running_loop()
    started = loop.time()
    hasty = lambda: began + (loop.time() - started) * 30  # noqa: E731
    monkeypatch.setattr(simulated_cluster.SimulatedCluster.__init__, "__defaults__", (hasty,))
    found: list[Served] = []
    ways: list[Way] = []

    def built(url: str) -> Any:
        found.append(build(CommonSettings(data_dir=tmp_path, rate_limit_burst=1000), url))
        ways.append(Way(found[0].app, lets_through))
        return ways[0]

    async with live_at(built) as url, chromium() as browser:
        _, key = found[0].runtime.credentials.api_keys.create("alice", "local", ["user"], ["engineering"], "internal")
        page = await browser.new_page()
        await sign_in(page, url, key, "/console/live")
        await page.goto(f"{url}/console/live?namespace=production&workload=ingest-api")
        await page.wait_for_selector("#lines li")
        if lets_through:
            await page.locator("#state", has_text="Connecting again").wait_for()
            before = await page.locator("#lines li").count()
            await page.locator(f"#lines li:nth-child({before + 20})").wait_for()
        await page.locator("#state", has_text="Live").wait_for()
        lines = await page.locator("#lines li").all_inner_texts()
        assert len(lines) == len(set(lines))
        assert ways[0].opened == (2 if lets_through else 0)


async def _keys(page: Page) -> None:
    """Everything works without a mouse."""
    await page.focus("#lines")
    await page.keyboard.press("p")
    await page.locator("#state", has_text="Paused").wait_for()
    lines = await page.locator("#lines li").count()
    await page.locator("#count", has_text="wait").wait_for()
    assert await page.locator("#lines li").count() == lines
    await page.keyboard.press("p")
    await page.wait_for_function(f"document.querySelectorAll('#lines li').length > {lines}")
    await page.keyboard.press("/")
    await page.keyboard.type("certificate")
    await page.wait_for_function("document.querySelector('#lines li[hidden]') !== null")
    shown = page.locator("#lines li:not([hidden])")
    assert all("certificate" in text for text in await shown.all_inner_texts())
    await page.fill("#filter", "")
