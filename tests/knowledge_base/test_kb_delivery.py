"""Jobs from outside: cancelled, given up and replayed, measured; and no to new work while too much waits."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from common.jobs import new_batch
from common.security.access import AccessScope
from common.security.principal import Principal
from infra.cli.main import app
from knowledge_base.bootstrap import KnowledgeBase
from tests.common.console.console_site import sign_in
from tests.support.knowledge import URL, Served, document, knowledge_base_in, served
from tests.support.serving import ask

ADA = Principal("ada", "acme", frozenset({"editor"}), clearance="confidential")
DANA = Principal("dana", "acme", frozenset({"admin"}), clearance="confidential")
OPERATOR = AccessScope("acme", "operator", clearance="restricted")
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Servers do not work on jobs."""
    monkeypatch.setenv("KB_WORKER", "false")
    yield monkeypatch


@asynccontextmanager
async def browser(kb: Served, who: Principal) -> AsyncIterator[httpx2.AsyncClient]:
    rights = (sorted(who.roles), sorted(who.groups), who.clearance)
    token = kb.runtime.credentials.api_keys.create(who.subject, who.tenant, *rights)[1]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(kb.asgi.app), base_url=URL) as found:
        await sign_in(found, token)
        yield found


def form_token(page: str, address: str) -> str:
    found = re.search(rf'action="{address}".*?name="form_token" value="(\w+)"', page, re.DOTALL)
    assert found
    return found[1]


async def give_up(kb: KnowledgeBase, document_id: str, tenant: str = "acme") -> str:
    """A dead letter; returns its id."""
    scope = AccessScope(tenant, "ada", clearance="restricted")
    await kb.library.add_all([document(document_id, "Tea.", tenant)], scope, new_batch())
    [job] = await kb.queue.claim(1)
    await kb.queue.fail(replace(job, failures=99), f"The parser broke. {SCRIPT}", retry=True)
    return job.id


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_job_tells_what_is_left_and_is_cancelled_by_its_owner_alone(
    tmp_path: Path, idle: pytest.MonkeyPatch, mode: str
) -> None:
    async with served(tmp_path) as kb, kb.client(ADA, mode) as ada, kb.client(DANA) as dana:
        added = await ask(ada, "add_document", id="tea", title="Tea", text="Tea.")
        job = {"job_id": added["job_id"]}
        waiting = await ask(ada, "get_job", **job)
        assert (waiting["state"], waiting["percent"], waiting["seconds_left"]) == ("queued", 0, None)
        with pytest.raises(Exception, match="You have no job"):
            await dana.call_tool("cancel_job", job)
        cancelled = await ask(ada, "cancel_job", **job)
        assert (cancelled["state"], cancelled["cancelled"], cancelled["percent"]) == ("cancelled", 1, 100)
        again = await ask(ada, "add_document", id="tea", title="Tea", text="Tea.")
        assert again["job_id"], "what was withdrawn can be handed in again"
        async with knowledge_base_in(tmp_path) as other:
            assert await other.worker.work_once() == 1
        assert (await ask(ada, "get_job", job_id=again["job_id"]))["state"] == "finished"
        assert (await ask(ada, "fetch", id="tea"))["version"] == again["version"]


async def test_a_deletion_cannot_be_cancelled(tmp_path: Path, idle: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as kb, kb.client(ADA) as ada, knowledge_base_in(tmp_path) as other:
        await ask(ada, "add_document", id="tea", title="Tea", text="Tea.")
        await other.worker.work_once()
        deleted = await ask(ada, "delete_document", id="tea")
        assert (await ask(ada, "cancel_job", job_id=deleted["job_id"]))["state"] == "queued"
        await other.worker.work_once()
        assert (await ask(ada, "get_job", job_id=deleted["job_id"]))["state"] == "finished"


async def test_while_too_much_waits_new_documents_are_asked_to_come_later(
    tmp_path: Path, idle: pytest.MonkeyPatch
) -> None:
    idle.setenv("KB_MAX_WAITING_JOBS", "2")
    async with served(tmp_path) as kb, kb.client(ADA) as ada, browser(kb, ADA) as page:
        for number in range(2):
            await ask(ada, "add_document", id=f"d{number}", title="Tea", text="Tea.")
        with pytest.raises(Exception, match=r"2 documents are waiting.* Retry in \d+\.\d s\."):
            await ada.call_tool("add_document", {"id": "d3", "title": "Tea", "text": "Tea."})
        token = form_token((await page.get("/console/upload")).text, "/console/upload")
        fields = {"form_token": token, "classification": "internal"}
        answer = await page.post("/console/upload", data=fields, files={"files": ("tea.md", b"Tea.")})
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1


async def test_dead_letters_are_shown_and_replayed_by_administrators(tmp_path: Path, idle: pytest.MonkeyPatch) -> None:
    async with knowledge_base_in(tmp_path) as other:
        job, foreign = await give_up(other, "tea"), await give_up(other, "secret", "else")
        async with served(tmp_path) as kb, browser(kb, DANA) as dana, browser(kb, ADA) as ada:
            assert (await ada.get("/console/dead-letters")).status_code == 403
            page = (await dana.get("/console/dead-letters")).text
            assert ">tea<" in page and "secret" not in page and "The parser broke. &lt;script&gt;" in page
            metrics = (await kb.runtime.metrics.exposition()).decode()
            assert 'triptych_jobs{queue="ingest",server="knowledge-base",state="dead"} 2.0' in metrics
            form = {"form_token": form_token(page, "/console/dead-letters"), "job": job}
            assert (await dana.post("/console/dead-letters", data={"job": job})).status_code == 403, "no token"
            assert (await dana.post("/console/dead-letters", data={**form, "job": foreign})).status_code == 404
            assert (await dana.post("/console/dead-letters", data=form)).headers["location"].endswith("?replayed=1")
            again = await dana.get("/console/dead-letters?replayed=1")
            assert "No dead letters" in again.text and "1 will be tried again" in again.text
        assert await other.worker.work_once() == 1
        assert (await other.library.fetch("tea", OPERATOR)).text == "Tea."
        assert [letter.job.id for letter in await other.queue.dead_letters(None, 5)] == [foreign]


async def test_dead_letters_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with knowledge_base_in(tmp_path) as kb:
        job = await give_up(kb, "tea")
    monkeypatch.setenv("TRIPTYCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def said(*words: str) -> str:
        return str(CliRunner().invoke(app, ["dead-letters", *words]).output)

    listed = await asyncio.to_thread(said, "list")
    assert job in listed and "The parser broke." in listed
    shown = json.loads(await asyncio.to_thread(said, "show", job))
    assert (shown["payload"]["document_id"], shown["failures"]) == ("tea", 100)
    assert "1 will be tried again" in await asyncio.to_thread(said, "replay", job)
    assert "There are no dead letters" in await asyncio.to_thread(said, "list")
