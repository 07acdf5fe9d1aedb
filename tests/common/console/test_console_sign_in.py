"""Signing in and out."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.console.page import local
from common.security.audit import tail
from common.security.tokens import DEVELOPMENT, OwnTokens
from tests.common.console.console_site import Site, console_site, form_token, sign_in


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as site:
        yield site


def dev_token(site: Site, seconds: float = 3600, **claims: object) -> str:
    tokens = OwnTokens(site.runtime.key, DEVELOPMENT)
    return tokens.issue({"sub": "dev", "tenant": "acme", "roles": ["user"], **claims}, seconds)


async def test_who_is_not_signed_in_gets_the_form_and_comes_back(site: Site) -> None:
    browser = site.browser()
    answer = await browser.get("/console/audit?subject=a%26b")
    assert answer.status_code == 303
    form = await browser.get(answer.headers["location"])
    assert 'name="next" value="/console/audit?subject=a%26b"' in form.text
    answer = await sign_in(browser, site.key(), "/console/audit?subject=a%26b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/audit?subject=a%26b")
    assert (await browser.get("/console/audit")).status_code == 200


async def test_the_first_page_leads_to_the_console(site: Site) -> None:
    answer = await site.browser().get("/", follow_redirects=True)
    assert answer.status_code == 200
    assert "Sign in" in answer.text


async def test_a_development_token_signs_in_for_as_long_as_it_lives(site: Site) -> None:
    browser = site.browser()
    answer = await sign_in(browser, dev_token(site, seconds=120))
    assert answer.status_code == 303
    assert 100 < int(answer.headers["set-cookie"].partition("Max-Age=")[2].partition(";")[0]) <= 120
    assert "<strong>dev</strong>" in (await browser.get("/console")).text


@pytest.mark.parametrize("wrong", ["nonsense", "tk_0011_aaaa", "", "eyJhbGciOiJub25lIn0.e30.", "\u00fc\u0000" * 9])
async def test_a_wrong_key_is_refused_counted_and_recorded(site: Site, wrong: str) -> None:
    browser = site.browser()
    answer = await sign_in(browser, wrong)
    assert answer.status_code == 401
    assert "Enter a key." in answer.text if not wrong else "This key is not valid here" in answer.text
    assert "set-cookie" not in answer.headers
    await site.settled()
    [record] = await tail(site.runtime.engine, 10)
    assert (record["action"], record["outcome"], record["subject"]) == ("sign_in", "denied", "")
    assert site.runtime.metrics.registry.get_sample_value("triptych_sign_in_failures_total", {"server": "small"}) == 1


async def test_guessing_ends_after_a_few_tries(tmp_path: Path) -> None:
    async with console_site(tmp_path, sign_in_failures_per_minute=3) as site:
        codes = [(await sign_in(site.browser(), "wrong")).status_code for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        assert (await sign_in(site.browser(), site.key())).status_code == 429


async def test_a_browser_that_guessed_too_often_gets_a_page_and_nothing_is_looked_at(tmp_path: Path) -> None:
    async with console_site(tmp_path, sign_in_failures_per_minute=1) as site:
        assert (await sign_in(site.browser(), "wrong")).status_code == 401
        for key in ("wrong", site.key()):
            answer = await sign_in(site.browser(), key, accept="text/html,*/*;q=0.8")
            assert answer.status_code == 429 and "set-cookie" not in answer.headers
            assert "Too many failed sign-ins from this address." in answer.text and "<h1>" in answer.text
            assert 0 < int(answer.headers["retry-after"]) <= 60 and "content-security-policy" in answer.headers
        # Programs get JSON, and other addresses of the server are refused as before.
        assert "error" in (await sign_in(site.browser(), "wrong")).json()
        headers = {"authorization": "Bearer wrong", "accept": "text/html"}
        assert (await site.browser().post("/mcp", headers=headers)).status_code == 429


async def test_signing_in_and_out_is_recorded(site: Site) -> None:
    browser = await site.signed_in(site.key("ada"))
    page = await browser.get("/console")
    await browser.post("/console/sign-out", data={"form_token": form_token(page, "/console/sign-out")})
    await site.settled()
    records = [(each["subject"], each["tenant"], each["action"]) for each in await tail(site.runtime.engine, 10)]
    assert records == [("ada", "acme", "sign_in"), ("ada", "acme", "sign_out")]


async def test_the_cookie_is_for_this_console_and_for_no_script(site: Site) -> None:
    cookie = (await sign_in(site.browser(), site.key())).headers["set-cookie"]
    assert cookie.startswith("triptych-small=")
    assert {"HttpOnly", "SameSite=strict", "Path=/console", "Max-Age=28800"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


async def test_the_cookie_is_secure_over_https(site: Site, tmp_path: Path) -> None:
    assert "Secure" in (await sign_in(site.browser("https://127.0.0.1:8001"), site.key())).headers["set-cookie"]
    async with console_site(tmp_path, public_url="https://kb.example") as behind_a_proxy:
        answer = await sign_in(behind_a_proxy.browser(), behind_a_proxy.key())
    assert "Secure" in answer.headers["set-cookie"]


ELSEWHERE = [
    "https://evil.example/console",
    "//evil.example/console",
    "/\\evil.example",
    "/console\\..\\..\\evil",
    "javascript:alert(1)",
    "/console/../mcp",
    "/consolexyz",
    "/mcp",
    "/console/x\r\nSet-Cookie: a=b",
    "/console/" + "x" * 2000,
    "https:/console",
    "//[/console",
    "/console/sign-in",
    "",
]


async def test_nobody_is_sent_elsewhere(site: Site) -> None:
    key = site.key()
    for target in ELSEWHERE:
        assert local(target) == "/console"
        assert (await sign_in(site.browser(), key, target)).headers["location"] == "/console", target
        form = await site.browser().get("/console/sign-in", params={"next": target})
        assert 'name="next" value="/console"' in form.text, target


FOREIGN = [
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"origin": "http://127.0.0.1:9999", "sec-fetch-site": "same-site"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://localhost:8001"},
]


async def test_another_site_cannot_sign_somebody_in(site: Site) -> None:
    key = site.key()
    for headers in FOREIGN:
        answer = await sign_in(site.browser(), key, **headers)
        assert answer.status_code == 403, headers
        assert "set-cookie" not in answer.headers


async def test_the_own_form_and_a_program_sign_in(site: Site) -> None:
    key, none = site.key(), dict[str, str]()
    for headers in (none, {"origin": "http://127.0.0.1:8001"}, {"sec-fetch-site": "same-origin"}):
        assert (await sign_in(site.browser(), key, **headers)).status_code == 303, headers


async def test_signing_in_never_continues_a_session(site: Site) -> None:
    browser = await site.signed_in(site.key("ada"))
    first = browser.cookies["triptych-small"]
    await sign_in(browser, site.key("ben"))
    assert browser.cookies["triptych-small"] != first
    assert "<strong>ben</strong>" in (await browser.get("/console")).text
    old = site.browser()
    old.cookies.set("triptych-small", first, domain="127.0.0.1", path="/console")
    assert (await old.get("/console")).status_code == 303


async def test_a_link_from_another_site_asks_once_more_with_the_cookie(site: Site) -> None:
    browser = site.browser()
    answer = await browser.get('/console/audit?subject="><b>', headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'content="0; url=/console/audit?subject=%22%3E%3Cb%3E"' in answer.text
    assert (await browser.get("/console/audit", headers={"sec-fetch-site": "same-origin"})).status_code == 303


async def test_a_token_that_fits_no_cookie_is_refused_in_words(site: Site) -> None:
    groups = [f"department-of-long-names-{number}" for number in range(200)]
    answer = await sign_in(site.browser(), dev_token(site, groups=groups))
    assert answer.status_code == 400
    assert "too many groups" in answer.text


async def test_the_rights_of_a_token_come_along(site: Site) -> None:
    browser = await site.signed_in(dev_token(site, roles=["auditor"], auth_time=0, sid="chosen"))
    assert (await browser.get("/console/audit")).status_code == 200
    claims = OwnTokens(site.runtime.key, "console-session/small").check(browser.cookies["triptych-small"])
    assert claims
    assert claims["sid"] != "chosen"
    assert time.time() - claims["auth_time"] < 60
