"""The page of one request: what it shows of memory and audit log, to whom, and what it says is missing."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import httpx2
import pytest

from common.console.waterfall import WIDTH, waterfall
from common.observability.traces import Traces, step
from common.security.audit import AuditLog, AuditRecord, checkpoint_path
from tests.common.console.console_site import Site, console_site

EVIL = '"><script>alert(1)</script>'
ID = "a-request-of-ada"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as site:
        yield site


def lines(page: httpx2.Response) -> list[tuple[str, str, str]]:
    """Layer, name and outcome of each row."""
    assert page.status_code == 200, page.text
    found = []
    for row in re.findall(r'<tr>\s*<th scope="row".*?</tr>', page.text, re.S):
        layer = re.search(r'class="layer">(.*?)<', row)
        name = re.search(r"</span>\s*(.*?)\s*(?:<small>|</th>)", row, re.S)
        outcome = re.search(r'class="badge \w+">(.*?)<', row)
        assert layer and name
        found.append((layer[1], unescape(name[1]), outcome[1] if outcome else ""))
    return found


async def traced(site: Site, request_id: str = ID, *roles: str, tenant: str = "acme") -> httpx2.Response:
    browser = await site.signed_in(site.key("auditor", *(roles or ("auditor",)), tenant=tenant))
    await site.settled()
    return await browser.get("/console/traces", params={"request_id": request_id})


async def call(site: Site, tool: str, request_id: str = ID, tenant: str = "acme", **arguments: str) -> None:
    key = site.key("ada", "user", "editor", tenant=tenant)
    async with site.asgi.client(auth=key, headers={"X-Request-Id": request_id}) as client:
        await client.call_tool(tool, arguments, raise_on_error=False)


async def test_a_call_has_its_steps_and_its_records_in_the_order_of_time(site: Site) -> None:
    await call(site, "echo", text="hunter2-hunter2")
    page = await traced(site)
    assert lines(page) == [
        ("server", "echo", "ok"),
        ("record", "intent: echo", ""),
        ("limits", "budget of the caller", "ok"),
        ("record", "outcome: echo", "ok"),
    ]
    assert f"{site.runtime.audit.writer} #" in page.text
    assert "hunter2" not in page.text
    assert "The gateway has no record here" in page.text and "Another process" not in page.text


async def test_what_fails_says_why(site: Site) -> None:
    await call(site, "fail", how="conflict")
    assert lines(await traced(site))[0] == ("server", "fail", "conflict")


async def test_requests_of_others_do_not_exist(site: Site) -> None:
    await call(site, "echo", tenant="globex", text="x")
    for page in (await traced(site), await traced(site, "no-such-request"), await traced(site, EVIL)):
        assert "Nothing is known of this request" in page.text and lines(page) == []
        assert "<script" not in page.text
    assert len(lines(await traced(site, tenant="globex"))) == 4


async def test_who_may_not_read_the_audit_log_sees_no_traces(site: Site) -> None:
    await call(site, "echo", text="x")
    for roles, status in ((("user",), 403), (("editor", "approver"), 403), (("admin",), 200)):
        assert (await traced(site, ID, *roles)).status_code == status
    assert (await site.browser().get("/console/traces")).status_code == 303


async def test_without_an_id_the_last_requests_lead_to_theirs(site: Site) -> None:
    browser = await site.signed_in(site.key("auditor"))
    assert "No requests yet" in (await browser.get("/console/traces")).text
    await call(site, "echo", text="x")
    await call(site, "echo", "one-of-another-tenant", tenant="globex", text="x")
    page = await browser.get("/console/traces")
    assert re.findall(r'href="(/console/traces\?[^"]*)"', page.text) == [f"/console/traces?request_id={ID}"]
    assert "globex" not in page.text and "another-tenant" not in page.text


async def test_the_audit_page_leads_here_and_back(site: Site) -> None:
    await call(site, "echo", text="x")
    await site.settled()
    browser = await site.signed_in(site.key("auditor"))
    audit = await browser.get("/console/audit", params={"action": "echo"})
    [link] = re.findall(r'href="(/console/traces\?[^"]*)"', audit.text)
    page = await browser.get(unescape(link))
    assert ("server", "echo", "ok") in lines(page)
    back = re.search(r'href="(/console/audit\?[^"]*)"', page.text)
    assert back and ID in (await browser.get(unescape(back[1]))).text


async def test_a_process_that_is_not_this_one_is_known_by_its_records(site: Site, tmp_path: Path) -> None:
    runtime = site.runtime
    who = (ID, "ada", "acme")
    checkpoints = tmp_path / "others.jsonl"
    async with (
        AuditLog(runtime.engine, "small-other", runtime.key, checkpoints, 60) as other,
        AuditLog(runtime.engine, "gateway", runtime.key, checkpoint_path(runtime.settings), 60) as gateway,
    ):
        await other.write(AuditRecord("intent", "echo", *who))
        await other.write(AuditRecord("outcome", "echo", *who, "ok", {"ms": 2.0}))
        await other.write(AuditRecord("intent", "change", *who))
        await gateway.write(AuditRecord("event", "small_echo", *who, "ok", {"ms": 60_000.0}))
        page = await traced(site)
    assert lines(page)[:2] == [("gateway", "small_echo", "ok"), ("server", "echo", "ok")]
    assert ("server", "change", "unfinished") in lines(page) and len(lines(page)) == 7
    assert f"of {other.writer} only the audit log is known" in page.text
    assert "The gateway has no record here" not in page.text


async def test_a_visit_that_changes_something_is_a_request_too(site: Site) -> None:
    browser = await site.signed_in(site.key("auditor"))
    # No form token: it is refused, and that is what the trace says.
    await browser.post("/console/audit", headers={"X-Request-Id": ID})
    assert lines(await traced(site)) == [("console", "POST /console/audit", "denied")]


async def test_damaged_records_hide_nothing(site: Site) -> None:
    rows = [
        {
            "kind": kind,
            "writer": "w",
            "seq": seq,
            "action": "a",
            "at": "?",
            "body": body,
            "outcome": "",
            "request_id": ID,
            "subject": "s",
            "tenant": "t",
        }
        for seq, (kind, body) in enumerate([("intent", "no json"), ("outcome", "[" * 9), ("event", '{"ms": "soon"}')])
    ]
    drawn = waterfall(rows, [])  # type: ignore[arg-type]
    assert sum(len(part.lines) for part in drawn.parts) == 4


def test_what_comes_much_later_has_an_axis_of_its_own() -> None:
    traces = Traces()
    for _ in range(2):
        with traces.recorded(ID, "server", "scale_workload") as trace:
            trace.tenant = "acme"
            with step("cluster", "list pods"):
                pass
    first, second = traces.of(ID, "acme")
    second.at = first.at + 90
    first.seconds, second.seconds = 0.2, 0.4
    drawn = waterfall([], [first, second])
    assert [len(part.lines) for part in drawn.parts] == [2, 2]
    for part in drawn.parts:
        assert part.x(part.lines[0]) == 0 and part.width(part.lines[0]) == WIDTH
        assert all(part.x(line) + part.width(line) <= WIDTH + 2 for line in part.lines)
