"""A real browser goes through the pages; nothing is wrong in its console."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, Page

from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from infra.demo.servers import is_ready
from tests.support.browser import LOOKS, chromium, seen, sign_in, watch

ROOT = Path(__file__).parents[2]


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
        async with chromium() as browser:
            pages: list[Page] = []
            for scheme, width in LOOKS:
                page = await browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
                await _walk(page, url, key)
                pages.append(page)
            for number, page in enumerate(pages):
                await _drop(page, f"dropped-{number}.md")
            signed_in = await pages[0].context.storage_state()
            plain = await browser.new_context(java_script_enabled=False, storage_state=signed_in)
            await _send_form(await plain.new_page(), url)
    finally:
        process.terminate()
        process.wait(30)


async def _walk(page: Page, url: str, key: str) -> None:
    problems: list[str] = []
    watch(page, problems)
    page.on("response", lambda answer: problems.extend([answer.url] if answer.status >= 400 else []))
    await sign_in(page, url, key, "/console/documents")
    await page.click("table.documents th a")
    await page.wait_for_selector("article h2")
    await seen(page)
    await page.click("text=What changed?")
    assert await page.inner_text("tr.added u") == "90" and await page.inner_text("tr.removed u") == "80"
    await seen(page)
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
    await page.locator("text=Nothing found").wait_for()
    await seen(page)
    await page.click("nav >> text=Jobs")
    await page.wait_for_selector("#live-control button")
    await page.click("table.jobs th a")
    await page.locator("text=nothing was refused").wait_for()
    await seen(page)
    assert problems == []


DROP = """([field, files]) => {
    const dropped = new DataTransfer();
    for (const [name, text] of files) dropped.items.add(new File([text], name));
    for (const kind of ["dragenter", "dragover", "drop"])
        field.dispatchEvent(new DragEvent(kind, { dataTransfer: dropped, bubbles: true, cancelable: true }));
}"""


async def _drop(page: Page, name: str) -> None:
    """Two files are dropped, of which one is no PDF; both are told apart, with progress until the end."""
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    answers: list[str] = []
    page.on("response", lambda answer: answers.append(answer.url))
    await page.click("nav >> text=Upload")
    field = await page.query_selector("#drop")
    await page.evaluate(DROP, [field, [(name, f"# Dropped {name}\n\nIt fell."), ("broken.pdf", "\x7fELF")]])
    await page.check("text=dana (you)")
    await seen(page)
    await page.focus("text=Upload 2 files")
    await page.keyboard.press("Enter")
    rows = page.locator("#uploads li")
    await rows.nth(0).locator("progress").wait_for()
    await rows.nth(1).locator("text=broken.pdf is a program").wait_for()
    await rows.nth(0).locator("text=Searchable, version 1.").wait_for()
    assert await page.inner_text("#summary") == "2 of 2 done: 1 searchable, 1 refused."
    assert any(answer.endswith("/progress") for answer in answers)
    await seen(page)
    await page.click("text=Open the document")
    assert f"Dropped {name}" in await page.inner_text("article h2")
    assert problems == []


async def _send_form(page: Page, url: str) -> None:
    """Without a script the form leads to the page of its job."""
    await page.goto(f"{url}/console/upload")
    files = {"plain.md": b"# Plain", "broken.pdf": b"\x7fELF"}
    chosen: list[FilePayload] = [
        {"name": name, "mimeType": "text/plain", "buffer": data} for name, data in files.items()
    ]
    await page.set_input_files("#files", chosen)
    await page.click("main button")
    await page.wait_for_selector("table.refused")
    assert "broken.pdf is a program" in await page.inner_text("table.refused")
