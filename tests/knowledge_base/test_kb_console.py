"""The pages show what the visitor may read, and nothing else."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from common.security.principal import Principal
from common.settings import Classification
from tests.common.console.console_site import sign_in
from tests.support.audit import until
from tests.support.knowledge import URL, Served, finished, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCRIPT = "<script>alert(1)</script>"
TEA = f"# Tea\n\nOolong is brewed at 90 degrees. {SCRIPT}\n\n| Leaf | Heat |\n|---|---|\n| Oolong | 90 |\n\nThe end."


def person(name: str, role: str = "user", *groups: str, clearance: Classification = "confidential") -> Principal:
    return Principal(name, "acme", frozenset({role}), frozenset(groups), clearance)


ALICE = person("alice", "editor", "eng", "sales")
HUGO = person("hugo", "editor", "hr")
DANA = person("dana", "admin", "hr", "sales", clearance="internal")


class Visitors:
    """People with a browser each."""

    def __init__(self, kb: Served, stack: AsyncExitStack) -> None:
        self.kb = kb
        self._stack = stack

    async def browser(self, who: Principal) -> httpx2.AsyncClient:
        rights = (sorted(who.roles), sorted(who.groups), who.clearance)
        token = self.kb.runtime.credentials.api_keys.create(who.subject, who.tenant, *rights)[1]
        transport = httpx2.ASGITransport(self.kb.asgi.app)
        browser = await self._stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=URL))
        assert (await sign_in(browser, token)).status_code == 303
        return browser

    async def settled(self) -> None:
        await until(lambda: not self.kb.runtime.audit.backlog)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visitors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Visitors]:
    async with AsyncExitStack() as stack:
        folder: Path = tmp_path_factory.mktemp("console")
        kb = await stack.enter_async_context(served(folder))
        alice = await stack.enter_async_context(kb.client(ALICE))
        for document_id, text, access, metadata in (
            ("tea", TEA.replace("90", "80"), {"groups": ["eng"]}, {"department": "kitchen", "year": 2025}),
            ("tea", TEA, {"groups": ["eng"]}, {"department": "kitchen", "year": 2026, "review_by": "2020-01-01"}),
            ("offer", "Oolong costs 9 pounds.", {"groups": ["sales"]}, {"department": "sales", "year": 2026}),
            ("plan", "Oolong plan.", {"classification": "confidential"}, {"department": "sales", "year": 2024}),
            ("menu", "Oolong for everybody.", {"classification": "public"}, {"department": "kitchen", "year": 2024}),
        ):
            arguments = {"id": document_id, "title": f"About {document_id}", "text": text}
            added = await alice.call_tool("add_document", {**arguments, "access": access, "metadata": metadata})
            await finished(alice, added.structured_content["job_id"])
        yield Visitors(kb, stack)


def listed(page: httpx2.Response) -> set[str]:
    """Documents that the page links to."""
    return set(re.findall(r'href="/console/documents/(\w+)["?]', page.text))


async def test_the_list_has_what_may_be_read_and_its_facets_count_nothing_else(visitors: Visitors) -> None:
    alice, hugo = await visitors.browser(ALICE), await visitors.browser(HUGO)
    assert listed(await alice.get("/console/documents")) == {"tea", "offer", "plan", "menu"}
    page = await hugo.get("/console/documents")
    assert listed(page) == {"plan", "menu"} and "2 documents" in page.text and "year=n%3A2026" not in page.text
    kitchen = await alice.get("/console/documents?is.department=t:kitchen&sort=-published_at")
    assert listed(kitchen) == {"tea", "menu"} and ">stale<" in kitchen.text
    assert listed(await alice.get("/console/documents?is.year=n:2026")) == {"tea", "offer"}
    assert "Nothing fits" in (await hugo.get("/console/documents?is.department=t:tea")).text
    assert 'value="n:20260114"' in (await alice.get("/console/documents?is.year=n:20260114")).text
    for wrong in ("is.year=n:many", "sort=-", "cursor=nonsense"):
        assert (await alice.get(f"/console/documents?{wrong}")).status_code == 400


async def test_pages_of_the_list_follow_each_other(visitors: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knowledge_base.console.browse.PAGE", 2)
    alice = await visitors.browser(ALICE)
    first = await alice.get("/console/documents?is.department=t:kitchen&sort=title")
    assert "Next page" not in first.text
    first = await alice.get("/console/documents?sort=title")
    link = re.search(r'<a href="([^"]+)" rel="next">', first.text)
    assert link
    second = await alice.get(link[1].replace("&amp;", "&"))
    assert [sorted(listed(page)) for page in (first, second)] == [["menu", "offer"], ["plan", "tea"]]


HIDDEN = [
    "/console/documents/{id}",
    "/console/documents/{id}?version=1",
    "/console/documents/{id}?version=9",
    "/console/documents/{id}?char=0,5",
    "/console/documents/{id}/compare",
    "/console/documents/{id}/compare?from=1&to=2",
]


@pytest.mark.parametrize("path", HIDDEN)
async def test_what_may_not_be_read_is_as_what_does_not_exist(visitors: Visitors, path: str) -> None:
    hugo = await visitors.browser(HUGO)
    answers = [await hugo.get(path.format(id=each)) for each in ("tea", "zzz")]
    assert [answer.status_code for answer in answers] == [404, 404]
    plain = [
        re.sub(r"<code>\w{24}</code>", "", a.text).replace(each, "")
        for a, each in zip(answers, ("tea", "zzz"), strict=True)
    ]
    assert plain[0] == plain[1]


async def test_a_document_is_text_and_its_passage_is_marked(visitors: Visitors) -> None:
    alice = await visitors.browser(ALICE)
    page = await alice.get("/console/documents/tea?version=2&char=7,38")
    assert page.status_code == 200 and SCRIPT not in page.text and "&lt;script&gt;" in page.text
    assert '<mark id="passage">Oolong is brewed at 90 degrees.</mark>' in page.text
    assert "<h2>Tea</h2>" in page.text and "<td> Oolong </td>" in page.text and "---" not in page.text
    assert "group eng" in page.text and ">stale<" in page.text and "Version 2" in page.text
    old = await alice.get("/console/documents/tea?version=1")
    assert "80 degrees" in old.text and "A newer version took the place" in old.text
    for wrong in ("version=x", "version=0", "char=7", "char=7,"):
        assert (await alice.get(f"/console/documents/tea?{wrong}")).status_code in (400, 404)
    assert (await alice.get("/console/documents/tea?version=7")).status_code == 404


async def test_versions_are_compared_line_by_line_and_word_by_word(visitors: Visitors) -> None:
    alice = await visitors.browser(ALICE)
    page = (await alice.get("/console/documents/tea/compare")).text
    assert '<tr class="removed">' in page and "<u>80</u>" in page and "<u>90</u>" in page
    assert "2 lines added" in page and "review_by" in page and SCRIPT not in page
    same = (await alice.get("/console/documents/tea/compare?from=2&to=2")).text
    assert "The same text" in same
    assert (await alice.get("/console/documents/menu/compare")).status_code == 200


def found(page: httpx2.Response) -> list[str]:
    """Documents of the ranking, in order."""
    return re.findall(r'class="passage"><a href="/console/documents/(\w+)\?', page.text)


async def test_the_playground_ranks_as_the_tool_and_shows_both_lists(visitors: Visitors) -> None:
    alice = await visitors.browser(ALICE)
    page = await alice.get("/console/search?q=oolong&mode=hybrid")
    async with visitors.kb.client(ALICE) as client:
        items = (await client.call_tool("search", {"query": "oolong"})).structured_content["items"]
    assert found(page) == [item["document_id"] for item in items] and len(items) == 4
    assert "<mark>Oolong</mark>" in page.text and "Embedding of the query" in page.text
    only_text = await alice.get("/console/search?q=oolong&mode=text")
    assert len(found(only_text)) == 4 and "Embedding of the query" not in only_text.text
    filtered = await alice.get("/console/search", params={"q": "oolong", "filters": '{"year": {"gte": 2026}}'})
    assert set(found(filtered)) == {"tea", "offer"}
    assert "Nothing found" in (await alice.get("/console/search?q=oolong&as_of=2020-01-01T00:00")).text
    for wrong in (
        {"filters": "{"},
        {"filters": "[]"},
        {"filters": '{"a": {"near": 1}}'},
        {"as_of": "noon"},
        {"mode": "x"},
    ):
        answer = await alice.get("/console/search", params={"q": "oolong", **wrong})
        assert answer.status_code == 400 and 'id="problem"' in answer.text and 'value="oolong"' in answer.text


async def test_a_preview_shows_what_both_may_read_and_is_audited(visitors: Visitors) -> None:
    dana = await visitors.browser(DANA)
    assert set(found(await dana.get("/console/search?q=oolong"))) == {"offer", "menu"}

    async def preview(**form: str) -> set[str]:
        answer = await dana.get("/console/search", params={"q": "oolong", "preview": "on", **form})
        assert answer.status_code == 200 and "A preview as" in answer.text
        return set(found(answer))

    assert await preview(name="x", groups="", clearance="public") == {"menu"}
    assert await preview(name="x", groups="sales", clearance="internal") == {"offer", "menu"}
    # Whatever is pretended opens nothing that dana may not read: not the group's tea, not the confidential plan.
    assert await preview(name="alice", groups="eng, sales hr", clearance="restricted") == {"offer", "menu"}
    await visitors.settled()
    auditor = await visitors.browser(person("otto", "auditor"))
    log = (await auditor.get("/console/audit?action=console:preview")).text
    assert log.count("console:preview</a>") == 3 and "&#34;clearance&#34;: &#34;restricted&#34;" in log
    wrong = await dana.get("/console/search?q=oolong&preview=on&clearance=everything")
    assert wrong.status_code == 400


async def test_only_administrators_may_preview(visitors: Visitors) -> None:
    alice = await visitors.browser(ALICE)
    assert "As another person" not in (await alice.get("/console/search")).text
    refused = await alice.get("/console/search?q=oolong&preview=on&clearance=public")
    assert refused.status_code == 403 and not found(refused)


async def test_jobs_are_the_visitors_own_and_an_administrator_sees_all_of_the_tenant(visitors: Visitors) -> None:
    alice, hugo, dana = [await visitors.browser(who) for who in (ALICE, HUGO, DANA)]
    mine = await alice.get("/console/jobs")
    ids = re.findall(r'href="/console/jobs/([\w-]+)"', mine.text)
    assert len(ids) == 5 and "<progress" in mine.text and "http-equiv" not in mine.text
    assert "No jobs yet" in (await hugo.get("/console/jobs")).text
    assert set(re.findall(r'href="/console/jobs/([\w-]+)"', (await dana.get("/console/jobs")).text)) == set(ids)
    assert (await dana.get(f"/console/jobs/{ids[0]}")).status_code == 200
    stranger = await visitors.browser(Principal("olga", "other", frozenset({"admin"})))
    for browser in (hugo, stranger):
        answers = [await browser.get(f"/console/jobs/{each}") for each in (ids[0], "0" * 36, "x" * 100)]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert len({re.sub(r"<code>\w{24}</code>", "", answer.text) for answer in answers}) == 1
    assert "No jobs yet" in (await stranger.get("/console/jobs")).text


async def test_a_refused_document_is_named_with_its_reason_and_a_running_job_renews_itself(
    visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await visitors.browser(ALICE)
    from common.jobs import Progress
    from common.jobs.sql import SqlJobQueue

    async def running(*_: Any) -> Progress:
        errors = [{"document_id": "bad", "name": "bad.pdf", "error": f"It is damaged. {SCRIPT}"}]
        return Progress("b", "acme", "alice", 4, 1, 1, 0.0, errors)

    monkeypatch.setattr(SqlJobQueue, "progress", running)
    page = (await alice.get("/console/jobs/b")).text
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert "It is damaged. &lt;script&gt;" in page and 'max="4" value="2"' in page and "Refused: 1" in page


@pytest.mark.parametrize("path", ["documents", "documents/menu", "documents/menu/compare", "search?q=tea", "jobs"])
async def test_without_a_fitting_role_there_is_no_page(visitors: Visitors, path: str) -> None:
    otto = await visitors.browser(person("otto", "auditor", clearance="restricted"))
    assert (await otto.get(f"/console/{path}")).status_code == 403
    assert "/console/documents" not in (await otto.get("/console")).text


async def test_reading_is_audited(visitors: Visitors) -> None:
    alice, otto = await visitors.browser(ALICE), await visitors.browser(person("otto", "auditor"))
    await alice.get("/console/documents/tea")
    await alice.get("/console/documents/nothing")
    await visitors.settled()
    log = (await otto.get("/console/audit?action=console:documents")).text
    assert "&#34;id&#34;: &#34;tea&#34;" in log and ">not_found<" in log
