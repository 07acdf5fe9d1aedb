"""What ends a session, and what is none."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.console.signed_out import MAX_KEPT, SignedOut
from common.security.signing import Keys, SigningKey
from common.security.tokens import DEVELOPMENT, OwnTokens
from tests.common.console.console_site import Site, console_site, form_token

COOKIE = "triptych-small"
FOREVER = 2.0**40


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as site:
        yield site


def with_cookie(site: Site, value: str) -> httpx2.AsyncClient:
    browser = site.browser()
    browser.cookies.set(COOKIE, value, domain="127.0.0.1", path="/console")
    return browser


async def is_signed_in(browser: httpx2.AsyncClient) -> bool:
    status = (await browser.get("/console")).status_code
    assert status in (200, 303)
    return status == 200


async def sign_out(browser: httpx2.AsyncClient) -> httpx2.Response:
    token = form_token(await browser.get("/console"), "/console/sign-out")
    return await browser.post("/console/sign-out", data={"form_token": token})


def claims_of(site: Site, **more: Any) -> dict[str, Any]:
    key_id = site.key("ada", "user").split("_")[1]
    return {"sub": "ada", "key_id": key_id, "sid": "s", "auth_time": 0.0, **more}


def session_tokens(key: Keys) -> OwnTokens:
    return OwnTokens(key, "console-session/small")


async def test_a_revoked_key_ends_the_session_at_once(site: Site) -> None:
    browser = await site.signed_in(key := site.key())
    assert await is_signed_in(browser)
    site.runtime.credentials.api_keys.revoke(key.split("_")[1])
    assert not await is_signed_in(browser)


async def test_a_changed_role_counts_at_once(site: Site, tmp_path: Path) -> None:
    browser = await site.signed_in(site.key("ada", "auditor"))
    assert (await browser.get("/console/audit")).status_code == 200
    file = tmp_path / "api-keys.json"
    file.write_text(file.read_text().replace('"auditor"', '"user"'))
    assert (await browser.get("/console/audit")).status_code == 403
    assert "/console/audit" not in (await browser.get("/console")).text


async def test_a_session_ends_by_itself(site: Site) -> None:
    tokens = session_tokens(site.runtime.key)
    assert await is_signed_in(with_cookie(site, tokens.issue(claims_of(site), 60)))
    assert not await is_signed_in(with_cookie(site, tokens.issue(claims_of(site), -1)))


async def test_a_session_that_nobody_here_signed_is_none(site: Site) -> None:
    claims = claims_of(site, roles=["admin"])
    forged = [
        session_tokens(SigningKey(b"x" * 32)).issue(claims, 60),
        OwnTokens(site.runtime.key, DEVELOPMENT).issue(claims, 60),
        OwnTokens(site.runtime.key, "console-session/another").issue(claims, 60),
        session_tokens(site.runtime.key).issue(claims, 60)[:-4] + "AAAA",
        "eyJhbGciOiJub25lIn0." + "e30" + ".",
        json.dumps(claims).replace('"', ""),
        "",
    ]
    for value in forged:
        assert not await is_signed_in(with_cookie(site, value)), value


async def test_rights_in_the_cookie_of_a_key_do_not_count(site: Site) -> None:
    value = session_tokens(site.runtime.key).issue(claims_of(site, roles=["admin"]), 60)
    assert (await with_cookie(site, value).get("/console/audit")).status_code == 403


async def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(site: Site) -> None:
    browser = await site.signed_in(site.key())
    copy = with_cookie(site, browser.cookies[COOKIE])
    assert await is_signed_in(copy)
    answer = await sign_out(browser)
    assert answer.headers["location"] == "/console/sign-in"
    assert COOKIE not in browser.cookies
    assert not await is_signed_in(copy)


async def test_another_site_cannot_sign_somebody_out(site: Site) -> None:
    browser = await site.signed_in(site.key())
    assert (await browser.post("/console/sign-out")).status_code == 403
    assert (await browser.get("/console/sign-out")).status_code == 405
    assert await is_signed_in(browser)


async def test_with_redis_all_replicas_know_who_signed_out(tmp_path: Path, redis_url: str) -> None:
    async with console_site(tmp_path, redis_url=redis_url) as one, console_site(tmp_path, redis_url=redis_url) as two:
        browser = await one.signed_in(one.key())
        elsewhere = with_cookie(two, browser.cookies[COOKIE])
        assert await is_signed_in(elsewhere)
        await sign_out(browser)
        assert not await is_signed_in(elsewhere)


async def test_without_redis_one_may_look_around_but_change_nothing(tmp_path: Path) -> None:
    async with console_site(tmp_path, redis_url="redis://127.0.0.1:1/0") as site:
        browser = await site.signed_in(site.key())
        page = await browser.get("/console/audit")
        assert page.status_code == 200
        answer = await browser.post("/console/audit", data={"form_token": form_token(page, "/console/audit")})
        assert answer.status_code == 503
        assert "Redis does not answer" in answer.text
        await sign_out(copy := with_cookie(site, browser.cookies[COOKIE]))
        assert COOKIE not in copy.cookies
        assert not await is_signed_in(browser)


async def test_the_list_of_ended_sessions_stays_small() -> None:
    ended = SignedOut("small", None)
    await ended.add("long-gone", 0.0)
    for number in range(MAX_KEPT + 10):
        await ended.add(f"s{number}", FOREVER + number)
    assert not await ended.has("long-gone", must_know=False)
    assert await ended.has(f"s{MAX_KEPT + 9}", must_know=True)
    assert len(ended._until) <= MAX_KEPT
