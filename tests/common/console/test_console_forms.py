"""A form counts only when it was sent from the page of the same session."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.responses import PlainTextResponse, Response

from common.console.app import Page, Visit
from common.console.forms import read_form, text
from tests.common.console.console_site import Site, console_site, form_token

changed: list[str] = []


async def change(visit: Visit) -> Response:
    if visit.request.method == "POST":
        form = await read_form(visit.request)
        changed.append(text(form, "name") or str(await visit.request.json()))
    return PlainTextResponse(visit.layout["form_token"](visit.request.scope["path"]))


PAGES = [
    Page("/changes/{id}", "Change", "console:change", change, in_nav=False, methods=frozenset({"GET", "POST"})),
]
POLICY = """
permit (principal, action == Action::"console:change", resource) when { principal.roles.contains("auditor") };
"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    changed.clear()
    async with console_site(tmp_path, PAGES, policy=POLICY) as site:
        yield site


async def token_for(browser: httpx2.AsyncClient, path: str) -> str:
    return (await browser.get(path)).text


async def test_the_own_form_counts(site: Site) -> None:
    browser = await site.signed_in(site.key())
    token = await token_for(browser, "/console/changes/1")
    answer = await browser.post("/console/changes/1", data={"form_token": token, "name": "blue"})
    assert answer.status_code == 200
    answer = await browser.post("/console/changes/1", json=["green"], headers={"X-Form-Token": token})
    assert answer.status_code == 200
    assert changed == ["blue", "['green']"]


@pytest.mark.parametrize("token", ["", "0" * 64, "\u00fc", None])
async def test_without_the_token_nothing_happens(site: Site, token: str | None) -> None:
    browser = await site.signed_in(site.key())
    answer = await browser.post("/console/changes/1", data={"name": "blue"} | ({"form_token": token} if token else {}))
    assert answer.status_code == 403
    assert "not sent from the page" in answer.text
    assert changed == []


async def test_the_token_of_another_session_or_form_does_not_fit(site: Site) -> None:
    key = site.key()
    browser, other = await site.signed_in(key), await site.signed_in(key)
    page = await browser.get("/console/audit")
    tokens = [
        await token_for(other, "/console/changes/1"),
        await token_for(browser, "/console/changes/2"),
        form_token(page, "/console/sign-out"),
        form_token(page, "/console/audit"),
    ]
    for token in tokens:
        answer = await browser.post("/console/changes/1", data={"form_token": token, "name": "blue"})
        assert answer.status_code == 403
    assert changed == []


@pytest.mark.parametrize("site_header", ["cross-site", "same-site"])
async def test_another_site_is_refused_even_with_the_token(site: Site, site_header: str) -> None:
    browser = await site.signed_in(site.key())
    token = await token_for(browser, "/console/changes/1")
    headers = {"Sec-Fetch-Site": site_header}
    answer = await browser.post("/console/changes/1", data={"form_token": token, "name": "blue"}, headers=headers)
    assert answer.status_code == 403
    assert changed == []


async def test_who_may_not_use_the_page_cannot_post_to_it(site: Site) -> None:
    browser = await site.signed_in(site.key("bob", "user"))
    sid_token = form_token(await browser.get("/console"), "/console/sign-out")
    assert (await browser.post("/console/changes/1", data={"form_token": sid_token})).status_code == 403
    assert (await browser.get("/console/changes/1")).status_code == 403
    assert changed == []


async def test_who_is_not_signed_in_changes_nothing(site: Site) -> None:
    answer = await site.browser().post("/console/changes/1", data={"name": "blue"})
    assert answer.headers["location"] == "/console/sign-in?next=/console"
    assert changed == []
