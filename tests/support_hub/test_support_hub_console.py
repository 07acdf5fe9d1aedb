"""The pages show what the tools answer, to those who may use the tools, and to nobody else."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import pytest
import pytest_asyncio
import requests

from common.security.policy import ToolPolicy
from common.security.principal import Principal
from support_hub.server import POLICIES
from tests.common.console.console_site import sign_in
from tests.support.audit import until
from tests.support.crm import RunningSuite
from tests.support.hub import URL, Served, fault, person, served, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIREK = "mirek.dvorak@marlowdairies.example"
TWICE = "samantha.pritchard@amberleybiologics.example"
SASKIA = "saskia.lindqvist@basalt-dc.example"
PAGES_OF_CUSTOMERS = (
    "/console/customers?q=mirek",
    f"/console/customer?email={MIREK}",
    "/console/tickets",
    "/console/tickets/zendesk:1",
    f"/console/merges?email={MIREK}",
)


class Visitors:
    """People with a browser each."""

    def __init__(self, hub: Served, crm: RunningSuite, stack: AsyncExitStack) -> None:
        self.hub = hub
        self.crm = crm
        self._stack = stack
        self._known: dict[Principal, httpx2.AsyncClient] = {}

    async def browser(self, who: Principal) -> httpx2.AsyncClient:
        if who not in self._known:
            rights = (sorted(who.roles), sorted(who.groups), who.clearance)
            token = self.hub.runtime.credentials.api_keys.create(who.subject, who.tenant, *rights)[1]
            transport = httpx2.ASGITransport(self.hub.asgi.app)
            browser = await self._stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=URL))
            assert (await sign_in(browser, token)).status_code == 303
            self._known[who] = browser
        return self._known[who]

    async def get(self, path: str, who: Principal | None = None) -> httpx2.Response:
        return await (await self.browser(who or person())).get(path)

    def requests_seen(self) -> int:
        """How many requests the platforms got."""
        return sum(int(self.crm.control(name, "requests")["requests"]) for name in self.crm.urls)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visitors(all_platforms: RunningSuite, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Visitors]:
    all_platforms.restore()
    async with AsyncExitStack() as stack:
        folder: Path = tmp_path_factory.mktemp("console")
        settings = {**settings_of(all_platforms), "SUPPORT_SOURCE_SECONDS": "6", "SUPPORT_FRESH_SECONDS": "0.05"}
        hub = await stack.enter_async_context(served(folder, settings))
        yield Visitors(hub, all_platforms, stack)
    all_platforms.restore()


async def test_a_customer_with_facts_their_origin_and_all_that_happened(visitors: Visitors) -> None:
    page = (await visitors.get(f"/console/customer?email={MIREK}")).text
    assert "Mirek Dvořák" in page and "complete" in page and "+441314960641" in page
    for source in ("salesforce", "hubspot", "zendesk", "orders", "profiles"):
        assert f'<th scope="row">{source}</th>' in page
    assert re.search(r'<span class="id">(salesforce|hubspot|zendesk):\w+</span>', page), "the origin of a fact"
    assert "<svg" in page and 'class="lane"' in page and page.count("<rect") > 4
    assert "SO-26" in page and "43,000.40 GBP" in page and "/console/tickets/" in page and "<h2>Profile</h2>" in page


async def test_a_conflict_shows_all_values_and_the_rule(visitors: Visitors) -> None:
    email = conflicting(visitors.crm)
    page = (await visitors.get(f"/console/customer?email={quote(email)}")).text
    part = page.partition('class="conflicts"')[2].partition("</section>")[0]
    assert "changed last" in part or "believed first" in part
    said = re.findall(r"<strong>([^<]+)</strong>", part)
    assert len(said) >= 2 and len(set(said)) >= 2


def conflicting(crm: RunningSuite) -> str:
    """An address whose telephone number two platforms write differently."""
    from infra.crm.seed.world import make_world

    known: dict[str, set[str]] = {}
    for listing in make_world().listings:
        if listing.email and listing.phone:
            known.setdefault(listing.email, set()).add(re.sub(r"\D", "", listing.phone)[-9:])
    return next(email for email, phones in known.items() if len(phones) > 1)


async def test_the_way_to_a_customer(visitors: Visitors) -> None:
    async def leads_to(asked: str) -> str:
        return str((await visitors.get(f"/console/customers?q={quote(asked)}")).headers.get("location", ""))

    assert await leads_to(MIREK) == f"/console/customer?email={quote(MIREK, safe='')}"
    assert await leads_to("+44 131 496 0641") == "/console/customer?phone=%2B441314960641"
    assert await leads_to("zendesk:12") == "/console/customer?customer_id=zendesk%3A12"
    found = (await visitors.get("/console/customers?q=mirek")).text
    assert "Mirek Dvořák" in found and quote(MIREK, safe="") in found
    assert "Nobody found" in (await visitors.get("/console/customers?q=xyzzyplugh")).text
    assert (await visitors.get("/console/customers?q=x")).status_code == 400
    assert (await visitors.get("/console/customer?email=nobody@nowhere.example")).status_code == 404
    assert (await visitors.get("/console/customer")).status_code == 400


async def test_tickets_are_searched_filtered_and_paged(visitors: Visitors) -> None:
    first = (await visitors.get("/console/tickets?status=open&priority=high")).text
    assert set(re.findall(r'class="badge[^"]*">(new|open|pending|solved|closed)</span>', first)) == {"open"}
    names = re.findall(r'href="/console/tickets/([a-z]+:\w+)"', first)
    following = re.search(r'href="([^"]+)" rel="next"', first)
    assert following is not None
    second = (await visitors.get(following[1].replace("&amp;", "&"))).text
    more = re.findall(r'href="/console/tickets/([a-z]+:\w+)"', second)
    assert names and more and not set(names) & set(more)
    assert {name.split(":")[0] for name in names + more} == {"salesforce", "hubspot", "zendesk"}
    assert "First page" in second
    for wrong in ("status=asleep", "priority=x", "since=yesterday", "sort=random", "requester=nobody"):
        page = await visitors.get(f"/console/tickets?{wrong}")
        assert page.status_code == 400 and 'role="alert"' in page.text
    assert "Nothing found" in (await visitors.get("/console/tickets?q=xyzzyplugh")).text


async def test_a_conversation_is_text_whatever_it_looks_like(visitors: Visitors) -> None:
    from infra.crm.seed.world import make_world

    ticket = next(each for each in make_world().tickets if each.injection)
    page = await visitors.get(f"/console/tickets/{ticket.key}")
    assert page.status_code == 200 and "reads like instructions" in page.text
    assert (await visitors.get("/console/tickets/zendesk:999999999")).status_code == 404
    assert (await visitors.get("/console/tickets/nowhere")).status_code == 400


async def test_markup_in_a_name_stays_text(visitors: Visitors) -> None:
    given = visitors.crm.suite.credentials["zendesk"]
    body: Any = {"ticket": {"subject": "<script>alert(1)</script> xss", "comment": {"body": "<img src=x>"}}}
    body["ticket"]["requester"] = {"email": "tag@tags.example", "name": "<b>Tag</b>"}
    made = await asyncio.to_thread(
        lambda: requests.post(
            f"{visitors.crm.urls['zendesk']}/api/v2/tickets",
            json=body,
            auth=(f"{given['email']}/token", given["api_token"]),
            timeout=10,
        ).json()
    )
    for path in (f"/console/tickets/zendesk:{made['ticket']['id']}", "/console/customer?email=tag@tags.example"):
        page = (await visitors.get(path)).text
        assert "<script>alert" not in page and "<img src=x>" not in page and "<b>Tag" not in page
        assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    "who",
    [
        person("stranger", role="stranger"),
        person("outsider", clearance="public"),
        person("operator", role="operator"),
    ],
    ids=lambda who: who.subject,
)
async def test_who_may_not_use_the_tools_sees_neither_page_nor_data(visitors: Visitors, who: Principal) -> None:
    before = await asyncio.to_thread(visitors.requests_seen)
    for path in PAGES_OF_CUSTOMERS:
        page = await visitors.get(path, who)
        assert page.status_code == 403 and "Dvořák" not in page.text and 'href="/console/customers"' not in page.text
    assert await asyncio.to_thread(visitors.requests_seen) == before, "nothing was read"


def forms(page: str) -> dict[str, str]:
    """Address of each form that is sent -> its token."""
    found = re.findall(r'action="([^"]+)">\s*<input type="hidden" name="form_token" value="([^"]+)"', page)
    return {unescape(address): token for address, token in found if address.startswith("/console/merges/")}


async def test_records_are_merged_and_taken_apart_with_the_evidence_before_one(visitors: Visitors) -> None:
    address = f"/console/merges?{urlencode({'email': TWICE})}"
    page = (await visitors.get(address)).text
    [merge] = [each for each in forms(page) if each.endswith("second=hubspot%3A20239")]
    assert "telephone number, name, company" in page and "None: these records stand" in page
    agent, posted = await visitors.browser(person()), {"form_token": forms(page)[merge]}
    assert (await agent.post(merge, data={"form_token": "x"})).status_code == 403
    answer = await agent.post(merge, data=posted)
    assert answer.status_code == 303 and "None: these records stand" not in (await visitors.get(address)).text
    merged = (await agent.get(answer.headers["location"])).text
    assert "hubspot:20239" in merged.split("In force")[1]
    [undo] = [each for each in forms(merged) if "/undo?" in each]
    assert (await agent.post(undo, data={"form_token": posted["form_token"]})).status_code == 403
    answer = await agent.post(undo, data={"form_token": forms(merged)[undo]})
    assert answer.status_code == 303 and "None: these records stand" in (await visitors.get(address)).text


async def test_who_may_only_read_is_offered_no_merge(visitors: Visitors) -> None:
    who = person("ute", "user")
    page = (await visitors.get(f"/console/merges?{urlencode({'email': TWICE})}", who)).text
    assert "hubspot:20239" in page and forms(page) == {}
    for part in ("merge?first=hubspot:20232&second=hubspot:20239", "undo?merge_id=merge-0123456789abcdef"):
        refused = await (await visitors.browser(who)).post(f"/console/merges/{part}", data={"form_token": "x"})
        assert refused.status_code == 403
    assert "Whose records?" in (await visitors.get("/console/merges", who)).text
    nobody = await visitors.get("/console/merges?customer_id=zendesk:1", who)
    assert nobody.status_code == 404 and "No source knows" in nobody.text


async def test_people_of_another_tenant_see_no_customers(visitors: Visitors) -> None:
    who = person("mirek", tenant="marlow")
    before = await asyncio.to_thread(visitors.requests_seen)
    for path in PAGES_OF_CUSTOMERS:
        page = await visitors.get(path, who)
        assert page.status_code == 403 and "may not see these customers" in page.text and "Dvořák" not in page.text
    assert await asyncio.to_thread(visitors.requests_seen) == before
    assert (await visitors.get("/console/sources", who)).status_code == 200


async def test_pages_and_tools_have_the_same_rights() -> None:
    policy = ToolPolicy("support-hub", POLICIES)
    same = {
        "console:customers": ("get_customer_360", "search_customers", "list_merge_suggestions"),
        "console:tickets": ("search_tickets", "get_ticket"),
    }
    for role in ("user", "agent", "support", "editor", "operator", "approver", "auditor", "admin", "stranger"):
        for clearance in ("public", "internal", "confidential", "restricted"):
            who = person("somebody", role, clearance=clearance)
            for action, tools in same.items():
                assert {policy.allows(who, tool) for tool in tools} == {policy.allows(who, action)}, (role, clearance)


async def test_a_visit_is_audited_and_its_address_redacted(visitors: Visitors) -> None:
    who = person("audrey")
    visit = await visitors.get(f"/console/customer?email={MIREK}", who)
    assert visit.status_code == 200, visit.text
    await until(lambda: not visitors.hub.runtime.audit.backlog)
    auditor = person("otto", role="admin")
    shown = await visitors.get("/console/audit?subject=audrey&action=console:customers", auditor)
    assert shown.status_code == 200 and "console:customers" in shown.text and "audrey" in shown.text, shown.text


async def test_sources_say_how_they_do(visitors: Visitors) -> None:
    await visitors.get(f"/console/customer?email={MIREK}")
    page = (await visitors.get("/console/sources")).text
    for name in ("salesforce", "hubspot", "zendesk", "orders", "profiles"):
        assert f'<th scope="row">{name}</th>' in page
    assert ">closed</span>" in page and "a minute" in page and "a day" in page and "in 10 s" in page


# The last one: the breaker of the platform may be open after it.
async def test_a_source_that_fails_is_named_and_the_rest_is_there(visitors: Visitors) -> None:
    await fault(visitors.crm, "zendesk", kind="error", status=500)
    try:
        page = (await visitors.get(f"/console/customer?email={SASKIA}")).text
        listed = (await visitors.get("/console/tickets")).text
    finally:
        await asyncio.to_thread(requests.delete, f"{visitors.crm.urls['zendesk']}/__control/faults", timeout=10)
    assert "<strong>zendesk</strong> did not answer" in page and '<span class="badge bad">error</span>' in page
    assert "incomplete" in page and "<h2>Orders" in page
    assert "Not every platform answered" in listed and "salesforce:" in listed
    health = (await visitors.get("/console/sources")).text
    assert "answered with status 500" in health
