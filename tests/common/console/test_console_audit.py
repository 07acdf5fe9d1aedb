"""The audit page: what it shows, to whom, and whether it sees damage."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from html import unescape
from pathlib import Path

import httpx2
import pytest

from common.paging import encode_cursor
from common.security.audit import AuditRecord, tail
from tests.common.console.console_site import Site, console_site, form_token

EVIL = '"><script>alert(1)</script>'


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as site:
        yield site


def record(site: Site, number: int, kind: str = "both", outcome: str = "ok", tenant: str = "acme") -> None:
    who = (f"request-{number}", "ada", tenant)
    if kind in ("both", "intent"):
        site.runtime.audit.append(AuditRecord("intent", "echo", *who, detail={"arguments": {"text": f"n{number}"}}))
    if kind in ("both", "outcome"):
        site.runtime.audit.append(AuditRecord("outcome", "echo", *who, outcome, {"ms": 1.5}))


def rows(page: httpx2.Response) -> list[list[str]]:
    """Subject, action, outcome, ms and summary of each line."""
    assert page.status_code == 200, page.text
    found = []
    for row in re.findall(r"<tr>\s*<td class=\"time\".*?</tr>", page.text, re.S):
        cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?</td>|<summary>.*?</summary>", row, re.S)]
        summary = re.search(r"<summary>(.*?)</summary>", row, re.S)
        assert summary
        found.append([unescape(cell.strip()) for cell in (*cells[1:5], summary[1])])
    return found


async def opened(site: Site, *roles: str, tenant: str = "acme") -> httpx2.AsyncClient:
    browser = await site.signed_in(site.key("auditor", *(roles or ("auditor",)), tenant=tenant))
    await site.settled()
    return browser


async def verified(browser: httpx2.AsyncClient) -> str:
    token = form_token(await browser.get("/console/audit"), "/console/audit")
    answer = await browser.post("/console/audit", data={"form_token": token})
    assert answer.status_code == 200
    found = re.search(r'<section class="notice.*?</section>', answer.text, re.S)
    assert found
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", found[0]))).strip()


def damage(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "audit.db", timeout=15)) as connection, connection:
        connection.execute(statement)


async def test_a_call_is_one_line_with_its_arguments_and_its_outcome(site: Site) -> None:
    await site.call(site.key("bob", "user"), "echo", text="hello")
    await site.call(site.key("bob", "user"), "nothing")
    await site.settled()
    browser = await opened(site)
    lines = rows(await browser.get("/console/audit"))
    assert [line[:3] for line in lines] == [
        ["auditor", "sign_in", "ok"],
        ["bob", "nothing", "unknown"],
        ["bob", "echo", "ok"],
    ]
    assert lines[2][4] == "text: hello"
    assert float(lines[2][3]) > 0


async def test_a_call_without_outcome_is_unfinished(site: Site) -> None:
    record(site, 1, "intent")
    record(site, 2)
    browser = await opened(site)
    query = "/console/audit?outcome=unfinished"
    assert [line[2:] for line in rows(await browser.get(query))] == [["unfinished", "–", "text: n1"]]


async def test_the_same_request_id_twice_is_two_lines(site: Site) -> None:
    record(site, 1)
    record(site, 1, outcome="error")
    record(site, 1, "intent")
    browser = await opened(site)
    lines = rows(await browser.get("/console/audit?request_id=request-1"))
    assert [line[2] for line in lines] == ["unfinished", "error", "ok"]


FILTERED = [
    ({"subject": "bob"}, ["bob/echo/ok"]),
    ({"subject": "bo"}, []),
    ({"action": "fail"}, ["ada/fail/conflict"]),
    ({"outcome": "ok", "action": "echo"}, ["bob/echo/ok", "ada/echo/ok"]),
    ({"outcome": "not ok"}, ["ada/fail/conflict"]),
    ({"outcome": "conflict", "subject": "ada"}, ["ada/fail/conflict"]),
    ({"request_id": "no-such-request"}, []),
]


async def test_filters(site: Site) -> None:
    for subject, action, result in [("ada", "echo", "ok"), ("bob", "echo", "ok"), ("ada", "fail", "conflict")]:
        who = (f"{subject}-{action}", subject, "acme")
        site.runtime.audit.append(AuditRecord("intent", action, *who))
        site.runtime.audit.append(AuditRecord("outcome", action, *who, result))
    browser = await opened(site)
    for query, expected in FILTERED:
        page = await browser.get("/console/audit", params=query)
        assert ["/".join(line[:3]) for line in rows(page)] == expected, query
        assert ("Nothing fits" in page.text) == (not expected)


async def test_older_records_follow_without_gap_or_repetition(site: Site) -> None:
    for number in range(130):
        record(site, number)
    browser = await opened(site)
    address, seen = "/console/audit?action=echo", []
    while True:
        page = await browser.get(address)
        seen += [line[4] for line in rows(page)]
        older = re.search(r'<a href="([^"]*)" rel="next">Older', page.text)
        if not older:
            break
        address = unescape(older[1])
        assert "action=echo" in address
    assert seen == [f"text: n{number}" for number in reversed(range(130))]


async def test_calls_that_overlap_the_edge_of_a_page_appear_once(site: Site) -> None:
    for start in range(0, 120, 3):
        for kind in ("intent", "outcome"):
            for number in range(start, start + 3):
                record(site, number, kind)
    browser = await opened(site)
    first = await browser.get("/console/audit?action=echo")
    older = re.search(r'<a href="([^"]*)" rel="next">', first.text)
    assert older
    second = await browser.get(unescape(older[1]))
    both = [(line[2], line[4]) for line in [*rows(first), *rows(second)]]
    assert len(both) == len(set(both)) == len({text for _, text in both})
    assert {outcome for outcome, _ in both} == {"ok"}


async def test_a_damaged_link_to_older_records_says_so(site: Site) -> None:
    browser = await opened(site)
    for older in ("x", "W10", "e30", "bnVsbA", encode_cursor(["a", "b"], [""] * 4), encode_cursor([1, 2, 3], [""] * 4)):
        answer = await browser.get("/console/audit", params={"older": older})
        assert answer.status_code == 400
        assert "without a cursor" in answer.text or "Start again" in answer.text


async def test_what_people_and_clients_wrote_stays_text(site: Site) -> None:
    who = (f"r{EVIL}", EVIL, "")
    site.runtime.audit.append(AuditRecord("intent", EVIL, *who, detail={"arguments": {EVIL: EVIL, "list": [EVIL]}}))
    site.runtime.audit.append(AuditRecord("outcome", EVIL, *who, EVIL))
    browser = await opened(site)
    for query in ({}, {"subject": EVIL}, {"action": EVIL, "outcome": EVIL, "request_id": f"r{EVIL}"}):
        page = await browser.get("/console/audit", params=query)
        assert "alert(1)" in page.text
        assert "<script" not in page.text
        assert '""' not in page.text.replace('value=""', "")
    assert (await browser.get("/console/audit", params={"subject": EVIL})).text.count("&lt;script&gt;") > 5


async def test_a_tenant_sees_its_own_records_and_those_of_nobody(site: Site) -> None:
    record(site, 1, tenant="acme")
    record(site, 2, tenant="globex")
    site.runtime.audit.append(AuditRecord("event", "sign_in", "request-3", outcome="denied"))
    browser = await opened(site, tenant="globex")
    summaries = [line[4] for line in rows(await browser.get("/console/audit"))]
    assert "text: n2" in summaries
    assert "text: n1" not in summaries
    assert ["nobody", "sign_in", "denied", "–", "nothing"] in rows(await browser.get("/console/audit"))


@pytest.mark.parametrize("other", [("ceo", "globex"), ("ben", "acme")])
async def test_who_takes_the_request_id_of_another_call_is_shown_nothing_of_it(
    site: Site, other: tuple[str, str]
) -> None:
    calls = {("ada", "acme"): "own", other: "another's"}
    for who, text in calls.items():
        site.runtime.audit.append(
            AuditRecord("intent", "echo", "request-1", *who, detail={"arguments": {"text": text}})
        )
    for who in calls:
        site.runtime.audit.append(AuditRecord("outcome", "echo", "request-1", *who, outcome="ok"))
    browser = await opened(site)
    for query in ("", "&subject=ada"):
        lines = rows(await browser.get(f"/console/audit?action=echo{query}"))
        assert ["ada", "echo", "ok", "–", "text: own"] in lines
        assert all((line[0] == "ada") == (line[4] == "text: own") for line in lines)
        assert len(lines) == (1 if query or other[1] == "globex" else 2)


async def test_only_auditors_see_it(site: Site) -> None:
    for roles, status in [(("user",), 403), (("editor", "approver"), 403), (("admin",), 200), (("auditor",), 200)]:
        browser = await opened(site, *roles)
        assert (await browser.get("/console/audit")).status_code == status
        assert ('href="/console/audit"' in (await browser.get("/console")).text) == (status == 200)


async def test_an_intact_log_is_called_intact_and_the_check_is_recorded(site: Site) -> None:
    record(site, 1)
    record(site, 2, "intent")
    browser = await opened(site)
    report = await verified(browser)
    assert report.startswith("Intact All 4 records are what was written, without a gap, by 1 process.")
    assert "1 call has no outcome" in report
    await site.settled()
    [*_, last] = await tail(site.runtime.engine, 10)
    assert (last["action"], last["subject"], last["outcome"]) == ("audit_verify", "auditor", "intact")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit_records SET subject = 'mallory' WHERE seq = 2", "Record 2 of {writer} changed"),
        ("DELETE FROM audit_records WHERE seq = 3", "Record 3 of {writer} missing: after record 2 comes record 4"),
        ("UPDATE audit_records SET body = 'no json', at = '' WHERE seq = 1", "Record 1 of {writer} changed"),
    ],
)
async def test_damage_is_named_and_the_page_still_shows(
    site: Site, tmp_path: Path, statement: str, expected: str
) -> None:
    for number in range(3):
        record(site, number)
    browser = await opened(site)
    damage(tmp_path, statement)
    report = await verified(browser)
    assert report.startswith("Damaged")
    assert expected.format(writer=site.runtime.audit.writer) in report
    assert rows(await browser.get("/console/audit"))
    await site.settled()
    assert {each["outcome"] for each in await tail(site.runtime.engine, 3, action="audit_verify")} == {"damaged"}


async def test_a_number_that_became_text_hides_nothing(tmp_path: Path) -> None:
    async with console_site(tmp_path, audit_checkpoint_seconds=600) as site:
        for number in range(60):
            record(site, number)
        browser = await opened(site)
        damage(tmp_path, "UPDATE audit_records SET seq = 'text' WHERE seq = 22")
        page = await browser.get("/console/audit")
        assert rows(page)
        older = re.search(r'<a href="([^"]*)" rel="next">', page.text)
        assert older
        assert rows(await browser.get(unescape(older[1])))
        assert (await verified(browser)).startswith("Damaged")
        damage(tmp_path, "UPDATE audit_records SET seq = 22 WHERE seq = 'text'")


async def test_to_verify_one_needs_the_form(site: Site) -> None:
    browser = await opened(site)
    assert (await browser.post("/console/audit")).status_code == 403
    await site.settled()
    assert "audit_verify" not in {each["action"] for each in await tail(site.runtime.engine, 10)}
