"""Files come in through the browser: with rights, form token, limits, and a reason for each refusal."""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import starlette.formparsers

from common.security.principal import Principal
from common.settings import Classification
from knowledge_base.sources import document_id_of
from knowledge_base.uploads import upload_id
from tests.common.console.console_site import form_token, sign_in
from tests.support.audit import until
from tests.support.knowledge import URL, Served, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
MAX_FILE, MAX_REQUEST = 300_000, 100_000
PAGE = "/console/upload"
JSON = {"Accept": "application/json"}
BOUNDARY = "b" * 30
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
Answer = dict[str, Any]


def person(name: str, role: str = "editor", *groups: str, clearance: Classification = "confidential") -> Principal:
    return Principal(name, "acme", frozenset({role}), frozenset(groups), clearance)


ALICE = person("alice", "editor", "eng", "sales")
HUGO = person("hugo", "editor", "hr")


class People:
    """People with a browser each, and the token of the form."""

    def __init__(self, kb: Served, stack: AsyncExitStack) -> None:
        self.kb = kb
        self._stack = stack

    async def browser(self, who: Principal) -> tuple[httpx2.AsyncClient, str]:
        rights = (sorted(who.roles), sorted(who.groups), who.clearance)
        key = self.kb.runtime.credentials.api_keys.create(who.subject, who.tenant, *rights)[1]
        transport = httpx2.ASGITransport(self.kb.asgi.app)
        browser = await self._stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=URL))
        assert (await sign_in(browser, key)).status_code == 303
        page = await browser.get(PAGE)
        return browser, form_token(page, PAGE) if page.status_code == 200 else ""

    async def send(self, who: Principal, name: str, data: str | bytes, **fields: Any) -> Answer:
        """As the script does; returns what became of the file."""
        browser, token = await self.browser(who)
        answer = await post(browser, token, [(name, data)], **fields)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        [file] = body["files"]
        if "refused" not in file:
            await self.worked_off(browser, body["job_id"])
        return dict(file)

    async def worked_off(self, browser: httpx2.AsyncClient, job: str) -> Answer:
        async with asyncio.timeout(60):
            while True:
                status: Answer = (await browser.get(f"/console/jobs/{job}/progress")).json()
                if status["state"] in ("finished", "failed"):
                    return status
                await asyncio.sleep(0.02)


async def post(
    browser: httpx2.AsyncClient, token: str, files: list[tuple[str, str | bytes]], **fields: Any
) -> httpx2.Response:
    given = {"classification": "internal", **fields}
    sent: list[tuple[str, tuple[str, str | bytes]]] = [("files", file) for file in files]
    return await browser.post(PAGE, data=given, files=sent, headers={**JSON, "X-Form-Token": token})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("KB_MAX_FILE_BYTES", str(MAX_FILE))
        kb = await stack.enter_async_context(
            served(tmp_path_factory.mktemp("upload"), max_request_bytes=MAX_REQUEST, sign_in_failures_per_minute=500)
        )
        yield People(kb, stack)


async def test_the_plain_form_leads_to_a_job_that_names_what_was_refused(people: People) -> None:
    alice, token = await people.browser(ALICE)
    form = {"form_token": token, "classification": "internal", "groups": ["eng"]}
    files: list[tuple[str, tuple[str, str | bytes]]] = [
        ("files", ("Grüner Tee.md", "# Green tea\n\nIt is brewed at 70 degrees.")),
        ("files", ("bad.pdf", b"\x7fELF not a pdf at all")),
        ("files", ("run.exe", b"MZ")),
        ("files", ("up\u202ecod.md", "# Hidden")),
        ("files", ("", b"")),
    ]
    answer = await alice.post(PAGE, data=form, files=files)
    assert answer.status_code == 303, answer.text
    job = answer.headers["location"].removeprefix("/console/jobs/")
    status = await people.worked_off(alice, job)
    assert (status["done"], status["failed"]) == (1, 3)
    page = (await alice.get(answer.headers["location"])).text
    assert "bad.pdf is a program" in page and "run.exe is of a kind that is not supported" in page
    assert "hidden characters" in page
    document = (await alice.get(f"/console/documents/{upload_id('Grüner Tee.md')}")).text
    assert "Green tea" in document and "70 degrees" in document and "group eng" in document
    await until(lambda: not people.kb.runtime.audit.backlog)
    auditor, _ = await people.browser(person("otto", "auditor"))
    log = (await auditor.get("/console/audit?action=files_taken_in&subject=alice")).text.replace("&#34;", '"')
    assert '"accepted": 1' in log and '"refused": 3' in log and "bad.pdf is a program" in log and job in log
    assert "console:upload" in (await auditor.get("/console/audit?action=console:upload")).text


async def test_the_form_offers_the_own_rights_and_needs_a_file(people: People) -> None:
    browser, token = await people.browser(person("ines", "editor", "eng", clearance="internal"))
    page = (await browser.get(PAGE)).text
    assert re.findall(r"<option[^>]*>(\w+)", page) == ["public", "internal"]
    assert re.findall(r'name="groups" value="(\w+)"', page) == ["eng"]
    empty = await post(browser, token, [])
    assert empty.status_code == 400 and "choose at least one" in empty.json()["error"]
    wrong = await post(browser, token, [("a.md", "# A")], classification="secret")
    assert wrong.status_code == 400 and "No classification" in wrong.json()["error"]


async def test_nobody_shares_more_than_the_own_rights(people: People) -> None:
    refused = await people.send(person("ines", clearance="internal"), "c.md", "# C", classification="restricted")
    assert "above your own clearance" in refused["refused"]
    browser, token = await people.browser(ALICE)
    answer = await post(browser, token, [("d.md", "# D")], groups=["eng", "hr"])
    assert answer.status_code == 403 and "groups of your own" in answer.json()["error"]


async def test_the_same_name_is_a_new_version_with_the_same_readers(people: People) -> None:
    first = await people.send(ALICE, "menu.md", "# Menu\n\nOolong", groups=["eng"])
    assert first["version"] == 1 and not first["unchanged"]
    assert (await people.send(ALICE, "C:\\tmp\\menu.md", "# Menu\n\nOolong", groups=["eng"]))["unchanged"]
    wider = await people.send(ALICE, "menu.md", "# Menu\n\nSencha")
    assert "other access: internal, eng" in wider["refused"]
    second = await people.send(ALICE, "menu.md", "# Menu\n\nSencha", groups=["eng"])
    assert (second["version"], second["document_id"]) == (2, first["document_id"])


async def test_what_the_person_may_not_read_is_not_replaced(people: People) -> None:
    mine = await people.send(ALICE, "plan.md", "# Plan\n\nThe plan of Alice.", me="on")
    refused = await people.send(HUGO, "plan.md", "# Plan\n\nThe plan of Hugo.")
    assert refused["refused"].startswith(f"The id {mine['document_id']} cannot be used.")
    alice, _ = await people.browser(ALICE)
    assert "The plan of Alice." in (await alice.get(mine["address"])).text
    hugo, _ = await people.browser(HUGO)
    assert (await hugo.get(mine["address"])).status_code == 404


async def test_ids_are_apart_from_those_of_folders(people: People) -> None:
    names = ["report.md", "upload/report.md", "upload.report.md"]
    assert upload_id("report.md") not in {document_id_of(name) for name in names}
    assert "." not in document_id_of("upload/a.b.md")
    decomposed = await people.send(ALICE, "Cafe\u0301.md", "# Café")
    assert decomposed["document_id"] == upload_id("Caf\u00e9.md")


class Body:
    """A body that knows how much of it was taken."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\n'
        for chunk in [head.encode(), *[b"x" * 10_000] * (self.size // 10_000), f"\r\n--{BOUNDARY}--\r\n".encode()]:
            self.taken += len(chunk)
            yield chunk


async def test_of_somebody_without_the_right_nothing_is_read(people: People) -> None:
    for who in (person("uma", "user"), person("otto", "auditor")):
        browser, _ = await people.browser(who)
        assert (await browser.get(PAGE)).status_code == 403
        body = Body(50_000)
        answer = await browser.post(PAGE, content=body.__aiter__(), headers={**JSON, **MULTIPART})
        assert (answer.status_code, body.taken) == (403, 0) and "do not open this page" in answer.json()["error"]
        assert PAGE not in (await browser.get("/console")).text


async def test_who_is_signed_out_is_told_so_and_nothing_is_read(people: People) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(people.kb.asgi.app), base_url=URL) as stranger:
        body = Body(50_000)
        answer = await stranger.post(PAGE, content=body.__aiter__(), headers={**JSON, **MULTIPART})
        assert (answer.status_code, body.taken) == (401, 0) and "Sign in again" in answer.json()["error"]
        plain = await stranger.post(PAGE, content=Body(10_000).__aiter__(), headers=MULTIPART)
        assert plain.status_code == 303 and "/console/sign-in" in plain.headers["location"]


async def test_without_the_token_nothing_comes_in(people: People) -> None:
    browser, token = await people.browser(ALICE)
    _, another = await people.browser(HUGO)
    for wrong in ("0" * 64, another):
        body = Body(50_000)
        headers = {**JSON, **MULTIPART, "X-Form-Token": wrong}
        answer = await browser.post(PAGE, content=body.__aiter__(), headers=headers)
        assert (answer.status_code, body.taken) == (403, 0)
    files = {"files": ("csrf.md", "# C")}
    for fields in ({}, {"form_token": another}):
        answer = await browser.post(PAGE, data={"classification": "internal", **fields}, files=files)
        assert answer.status_code == 403 and "not sent from the page" in answer.text
    cross = {**JSON, "X-Form-Token": token, "Sec-Fetch-Site": "cross-site"}
    answer = await browser.post(PAGE, data={"classification": "internal"}, files=files, headers=cross)
    assert answer.status_code == 403
    assert (await browser.get(f"/console/documents/{upload_id('csrf.md')}")).status_code == 404


async def test_sizes_are_bounded_declared_or_not(people: People) -> None:
    browser, token = await people.browser(ALICE)
    within = await post(browser, token, [("long.md", "# L\n\n" + "word " * 40_000)])
    assert within.status_code == 200 and "refused" not in within.json()["files"][0]
    large = await post(browser, token, [("large.md", b"x" * (MAX_FILE + 1)), ("small.md", "# Small")])
    files = large.json()["files"]
    assert "large.md is larger than 0.286 MB" in files[0]["refused"] and "refused" not in files[1]
    declared = await post(browser, token, [("huge.md", b"x" * (MAX_FILE + 1_048_576))])
    assert declared.status_code == 413 and "larger than" in declared.json()["error"]
    body = Body(5_000_000)
    headers = {**JSON, **MULTIPART, "X-Form-Token": token}
    answer = await browser.post(PAGE, content=body.__aiter__(), headers=headers)
    assert answer.status_code == 413 and body.taken < MAX_FILE + 1_048_576 + 20_000
    elsewhere = await browser.post("/console/sign-in", data={"key": "x" * (MAX_REQUEST + 1)})
    assert elsewhere.status_code == 413
    many = await post(browser, token, [(f"{number}.md", "# N") for number in range(21)])
    assert many.status_code == 400 and "Too many files" in many.json()["error"]


async def test_temporary_files_are_gone_afterwards(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def make(*args: Any, **more: Any) -> Any:
        made.append(tempfile.SpooledTemporaryFile(*args, **more))  # noqa: SIM115
        return made[-1]

    monkeypatch.setattr(starlette.formparsers, "SpooledTemporaryFile", make)
    browser, token = await people.browser(ALICE)
    assert (await post(browser, token, [("t.md", "# T"), ("t.exe", b"MZ")])).status_code == 200
    assert (await post(browser, token, [("t.md", "# T")], groups=["hr"])).status_code == 403
    headers = {**JSON, **MULTIPART, "X-Form-Token": token}
    assert (await browser.post(PAGE, content=Body(5_000_000).__aiter__(), headers=headers)).status_code == 413
    assert len(made) == 4 and all(file.closed for file in made)


async def test_the_progress_is_that_of_the_own_jobs(people: People) -> None:
    alice, token = await people.browser(ALICE)
    job = (await post(alice, token, [("p.md", "# P")])).json()["job_id"]
    assert (await people.worked_off(alice, job))["state"] == "finished"
    hugo, _ = await people.browser(HUGO)
    hidden = await hugo.get(f"/console/jobs/{job}/progress", headers=JSON)
    assert hidden.status_code == 404 and "no such job" in hidden.json()["error"]


async def test_too_many_uploads_are_told_when_to_go_on(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        kb = await stack.enter_async_context(served(tmp_path, rate_limit_per_second=0.1, rate_limit_burst=2))
        browser, token = await People(kb, stack).browser(ALICE)
        assert (await post(browser, token, [("a.md", "# A")])).status_code == 200
        body = Body(50_000)
        headers = {**JSON, **MULTIPART, "X-Form-Token": token}
        answer = await browser.post(PAGE, content=body.__aiter__(), headers=headers)
        assert (answer.status_code, body.taken) == (429, 0)
        assert 1 <= int(answer.headers["retry-after"]) <= 10 and json.loads(answer.text)["error"]
