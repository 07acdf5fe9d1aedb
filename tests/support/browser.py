"""Headless Chromium, and what every test in it does: sign in, look, and note what goes wrong."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
LOOKS: tuple[tuple[Any, int], ...] = (("light", 1200), ("dark", 400))
"""Colour scheme and width in pixels."""
PICTURES = os.environ.get("TEST_PICTURES")
"""A folder in which pictures of the pages are left, for whoever wants to look at them."""
OURS = ("http://127.0.0.1:", "http://localhost:", "data:", "blob:")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser. Without one a test is skipped with the line that would bring it; with CI=true it fails."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("chromium cannot be had; to bring it: apt install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


def watch(page: Page, problems: list[str], expected: str = "") -> None:
    """Note what goes wrong from now on: errors, warnings without the `expected` words, whatever is asked elsewhere."""

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not (expected and expected in message.text):
            problems.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith(OURS):
            problems.append(request.url)

    page.on("console", said)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", asked)


async def sign_in(page: Page, url: str, key: str, then: str = "/console") -> None:
    """With an API key, by the form."""
    await page.goto(f"{url}/console/sign-in?next={then}")
    await page.fill("#key", key)
    await page.click("main button")


async def seen(page: Page, name: str = "") -> None:
    """Nothing stands over the right edge. A picture without a name is called after its address and its width."""
    width = await page.evaluate("window.innerWidth")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width, page.url
    if PICTURES:
        called = name or f"{urlsplit(page.url).path.strip('/').replace('/', '-')}-{width}"
        await page.screenshot(path=f"{PICTURES}/{called}.png", full_page=True)
