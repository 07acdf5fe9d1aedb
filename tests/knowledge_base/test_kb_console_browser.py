"""A real browser goes through the pages; nothing is wrong in its console."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, Page, async_playwright

from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from infra.demo.servers import is_ready

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIPTYCH_", "KB_"))}
    environment = {**kept, "TRIPTYCH_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    for version in (80, 90):
        (folder / "tea.md").write_text(
            f"# Tea\n\nOolong is brewed at {version} degrees.\n\n| Leaf |\n|---|\n| Oolong |\n"
        )
        ingest = [sys.executable, "-m", "infra.cli", "ingest", str(folder / "tea.md")]
        subprocess.run(ingest, env=environment, cwd=folder, check=True, timeout=240)
    serve = [sys.executable, "-m", "infra.cli", "serve", "knowledge-base", "--port", str(port)]
    return subprocess.Popen(serve, env=environment, cwd=folder)


@pytest.mark.slow
async def test_somebody_clicks_through(tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("chromium cannot be had; to bring it: apt install chromium")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.to_thread(start, tmp_path, port)
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(180):
            while not await asyncio.to_thread(is_ready, url):
                await asyncio.sleep(0.1)
        store = ApiKeyStore(api_keys_path(CommonSettings(data_dir=tmp_path)))
        key = store.create("dana", "local", ["admin"], [], "internal")[1]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for scheme, width in (("light", 1200), ("dark", 400)):
                page = await browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})  # type: ignore[arg-type]
                await _walk(page, url, key)
            await browser.close()
    finally:
        process.terminate()
        process.wait(30)


async def _walk(page: Page, url: str, key: str) -> None:
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        problems.extend([message.text] if message.type in ("error", "warning") else [])

    page.on("console", note)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("response", lambda answer: problems.extend([answer.url] if answer.status >= 400 else []))
    await page.goto(f"{url}/console/sign-in?next=/console/documents")
    await page.fill("#key", key)
    await page.click("main button")
    await page.click("table.documents th a")
    await page.wait_for_selector("article h2")
    await _fits(page)
    await page.click("text=What changed?")
    assert await page.inner_text("tr.added u") == "90" and await page.inner_text("tr.removed u") == "80"
    await _fits(page)
    await page.click("nav >> text=Search")
    await page.fill("input[name=q]", "how hot for oolong")
    await page.keyboard.press("Enter")
    await page.click("table.ranking .passage a")
    await page.wait_for_selector("mark#passage")
    assert any("brewed at 90 degrees" in text for text in await page.locator("mark").all_inner_texts())
    await page.click("nav >> text=Search")
    await page.check("input[name=preview]")
    await page.fill("input[name=q]", "oolong")
    await page.keyboard.press("Enter")
    assert "Nothing found" in await page.inner_text("main")
    await _fits(page)
    await page.click("nav >> text=Jobs")
    await page.wait_for_selector("#live-control button")
    await page.click("table.jobs th a")
    assert "nothing was refused" in await page.inner_text("main")
    await _fits(page)
    assert problems == []


async def _fits(page: Page) -> None:
    """Nothing stands over the right edge."""
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
