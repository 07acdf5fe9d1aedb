"""What holds for every page: headers, rights, failures, and the pages that a vertical adds."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse, Response

from common.console.app import Page, Visit
from common.errors import Conflict
from common.security.principal import ANONYMOUS, current_principal
from tests.common.console.console_site import Site, console_site, sign_in
from tests.support.apps import SECRET

POLICY = """
permit (principal, action in [Action::"console:jobs", Action::"console:fresh", Action::"console:fail"], resource)
when { principal.roles.contains("editor") };
"""


async def jobs(visit: Visit) -> Response:
    return visit.render("jobs.html", name=current_principal.get().subject, id=visit.request.path_params.get("id"))


async def fail(visit: Visit) -> Response:
    if visit.request.query_params.get("how") == "conflict":
        raise Conflict("Somebody was faster.", "Read it again.")
    raise RuntimeError(f"the password of the database is {SECRET}")


async def fresh(visit: Visit) -> Response:
    seconds = float(visit.request.query_params["seconds"])
    return PlainTextResponse("fresh") if visit.session.is_fresh(seconds) else visit.sign_in_again()


PAGES = [
    Page("/jobs", "Jobs", "console:jobs", jobs, order=20),
    Page("/jobs/{id}", "Job", "console:jobs", jobs, in_nav=False),
    Page("/fail", "Fail", "console:fail", fail, order=95),
    Page("/fresh", "Fresh", "console:fresh", fresh, in_nav=False),
    Page("/read/{id}", "Read", "console:jobs", jobs, in_nav=False, recorded=True),
    Page("/fail/recorded", "Fail", "console:fail", fail, in_nav=False, recorded=True),
]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    templates = tmp_path / "templates"
    templates.mkdir()
    block = "{% block main %}<p>{{ name }} {{ id }} {{ missing }}</p>{% endblock %}"
    page = '{% extends "layout.html" %}{% block title %}Jobs{% endblock %}' + block
    (templates / "jobs.html").write_text(page.replace("{{ missing }}", ""))
    async with console_site(tmp_path, PAGES, [templates], POLICY) as site:
        yield site


async def test_every_answer_carries_the_headers(site: Site) -> None:
    browser = await site.signed_in(site.key("ada", "auditor", "editor"))
    stranger = site.browser()
    answers = [
        await browser.get("/"),
        await browser.get("/console"),
        await browser.get("/console/audit"),
        await browser.get("/console/jobs"),
        await browser.post("/console/audit"),
        await browser.get("/console/missing"),
        await browser.get("/console/"),
        await browser.put("/console"),
        await browser.get("/console/fail"),
        await browser.get("/console/fail?how=conflict"),
        await stranger.get("/console"),
        await stranger.get("/console/sign-in"),
        await stranger.get("/console", headers={"sec-fetch-site": "cross-site"}),
        await sign_in(stranger, "wrong"),
        await sign_in(stranger, site.key("bob", "user")),
        await stranger.get("/console/audit"),
        await stranger.get("/console/static/0/console.css"),
        await stranger.get("/console/static/0/missing.css"),
    ]
    expected = [303, 200, 200, 200, 403, 404, 303, 405, 500, 409, 303, 200, 200, 401, 303, 403, 200, 404]
    assert [answer.status_code for answer in answers] == expected
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]
        assert "permissions-policy" in answer.headers


async def test_no_page_needs_inline_scripts_or_styles(site: Site) -> None:
    browser = await site.signed_in(site.key("ada", "auditor", "user"))
    await site.call(site.key("ada", "user"), "echo", text="hello")
    for path in ("/console", "/console/audit", "/console/sign-in", "/console/missing"):
        page = (await browser.get(path)).text
        assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)|https?://(?!127)", page), path


async def test_static_files_may_be_kept_because_their_address_names_their_content(site: Site) -> None:
    browser = site.browser()
    page = (await browser.get("/console/sign-in")).text
    address = re.search(r'href="(/console/static/\w+/console.css)"', page)
    assert address
    answer = await browser.get(address[1])
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/css")
    for path in ("/console/static/0/..%2fapp.py", "/console/static/0/app.py", "/console/static/0/%2e%2e/app.py"):
        assert (await browser.get(path)).status_code == 404


async def test_people_see_only_what_they_may_see(site: Site) -> None:
    user = await site.signed_in(site.key("bob", "user"))
    page = await user.get("/console")
    assert re.findall(r'<a href="(/console[\w/]*)"', page.text) == ["/console"]
    refused = await user.get("/console/audit")
    assert refused.status_code == 403
    assert "Your roles (user) do not open this page" in refused.text
    assert (await user.get("/console/jobs")).status_code == 403
    editor = await site.signed_in(site.key("eve", "editor", "auditor"))
    links = re.findall(r'<a href="(/console[\w/]*)"', (await editor.get("/console")).text)
    assert links == ["/console", "/console/jobs", "/console/audit", "/console/traces", "/console/fail"]


async def test_a_key_without_roles_can_sign_in_sees_nothing_and_can_sign_out(site: Site) -> None:
    nobody = await site.signed_in(site.key("eve", "guest"))
    answer = await nobody.get("/console")
    assert answer.status_code == 403
    assert "<nav" not in answer.text
    assert "Sign out" in answer.text


async def test_a_vertical_adds_pages_that_run_as_the_person(site: Site) -> None:
    browser = await site.signed_in(site.key("ada", "editor"))
    assert "<p>ada 7 </p>" in (await browser.get("/console/jobs/7")).text
    assert 'href="/console/jobs" aria-current="page"' in (await browser.get("/console/jobs")).text
    assert current_principal.get() == ANONYMOUS


async def test_a_page_may_demand_a_fresh_sign_in(site: Site) -> None:
    browser = await site.signed_in(site.key("ada", "editor"))
    assert (await browser.get("/console/fresh?seconds=300")).text == "fresh"
    answer = await browser.get("/console/fresh?seconds=-1")
    assert answer.headers["location"] == "/console/sign-in?next=/console/fresh%3Fseconds%3D-1"
    assert "API key" in (await browser.get(answer.headers["location"])).text


async def test_a_failure_says_what_to_do_and_keeps_the_cause(site: Site) -> None:
    browser = await site.signed_in(site.key("ada", "editor"))
    conflict = await browser.get("/console/fail?how=conflict")
    assert (conflict.status_code, "Somebody was faster." in conflict.text) == (409, True)
    broken = await browser.get("/console/fail")
    assert broken.status_code == 500
    assert SECRET not in broken.text
    assert broken.headers["x-request-id"] in broken.text


async def test_what_does_not_exist_is_a_page_and_not_the_application_behind(site: Site) -> None:
    for path in ("/console/mcp", "/console/x/y", "/console/%2e%2e/mcp"):
        answer = await site.browser().get(path)
        assert answer.status_code == 404, path
        assert "There is no such page." in answer.text
    answer = await site.browser().get("/console/audit/")
    assert answer.headers["location"] == "/console/audit"


async def test_only_the_methods_of_a_page_are_served(site: Site) -> None:
    browser = await site.signed_in(site.key())
    answer = await browser.post("/console")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert (await browser.head("/console")).status_code == 200
    assert (await browser.delete("/console/audit")).status_code == 405


async def test_a_recorded_page_is_limited_and_audited_with_its_address_and_outcome(tmp_path: Path) -> None:
    (tmp_path / "jobs.html").write_text("{{ id }}")
    limits = {"rate_limit_per_second": 0.001, "rate_limit_burst": 3}
    async with console_site(tmp_path, PAGES, [tmp_path], POLICY, **limits) as site:
        browser = await site.signed_in(site.key("ada", "auditor", "editor"))
        paths = ("read/7?q=tea", "fail/recorded?how=conflict", "read/8", "read/9")
        answers = [await browser.get(f"/console/{path}") for path in paths]
        assert [answer.status_code for answer in answers] == [200, 409, 200, 429]
        # What only shows the console's own state is neither.
        assert (await browser.get("/console/jobs")).status_code == 200
        await site.settled()
        log = (await browser.get("/console/audit?action=console:jobs")).text
        assert "&#34;id&#34;: &#34;7&#34;" in log and "&#34;q&#34;: &#34;tea&#34;" in log and "read/9" not in log
        assert log.count("console:jobs</a>") == 2
        assert ">conflict<" in (await browser.get("/console/audit?action=console:fail")).text
