"""The console's live page: who may open a stream, what comes, and what a browser gets that was away."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.security.principal import Principal
from common.settings import CommonSettings
from common.vertical import Served
from devops.adapters.simulated import cluster as simulated_cluster
from devops.server import build
from tests.support.live import live_at
from tests.support.operations import person

INGEST = "/console/live/logs?namespace=production&workload=ingest-api"


@dataclass
class Site:
    """A server on a real port: a browser's stream is a connection of its own."""

    url: str
    served: Served

    @asynccontextmanager
    async def browser(self, who: Principal) -> AsyncIterator[httpx2.AsyncClient]:
        rights = (sorted(who.roles), sorted(who.groups), who.clearance)
        _, key = self.served.runtime.credentials.api_keys.create(who.subject, who.tenant, *rights)
        async with httpx2.AsyncClient(base_url=self.url) as client:
            answer = await client.post("/console/sign-in", data={"key": key, "next": "/console"})
            assert answer.status_code == 303, answer.text
            yield client


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    began, loop = time.time(), asyncio.get_running_loop()
    started = loop.time()
    hasty = lambda: began + (loop.time() - started) * 100  # noqa: E731
    monkeypatch.setattr(simulated_cluster.SimulatedCluster.__init__, "__defaults__", (hasty,))
    found: list[Served] = []

    def built(url: str) -> Any:
        found.append(build(CommonSettings(data_dir=tmp_path, rate_limit_burst=1000), url))
        return found[0].app

    async with live_at(built) as url:
        yield Site(url, found[0])


async def messages(
    browser: httpx2.AsyncClient, address: str, last: str = ""
) -> AsyncGenerator[tuple[str, str, Any], None]:
    """Event, id and data of each message."""
    headers = {"Last-Event-ID": last} if last else {}
    async with browser.stream("GET", address, headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store" and "default-src 'none'" in str(answer.headers)
        event, identifier = "message", ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                identifier = value
            elif name == "data":
                yield event, identifier, json.loads(value)
                event = "message"


async def read(browser: httpx2.AsyncClient, address: str, count: int, last: str = "") -> tuple[list[str], str]:
    """At least `count` lines, and where the connection was then cut."""
    lines: list[str] = []
    async with aclosing(messages(browser, address, last)) as found, asyncio.timeout(20):
        async for event, place, items in found:
            assert event == "message"
            last = place
            lines += [f"{item['time']} {item['source']} {item['text']}" for item in items]
            if len(lines) >= count:
                break
    return lines, last


async def test_a_browser_that_was_away_gets_what_came_meanwhile(site: Site) -> None:
    async with site.browser(person()) as alice, site.browser(person("bob")) as bob:
        watching = asyncio.create_task(read(bob, INGEST, 160))
        lines, last = await read(alice, INGEST, 1)
        for _ in range(3):
            await asyncio.sleep(0.1)  # away
            more, last = await read(alice, INGEST, 8, last)
            lines += more
        whole, _ = await watching
    assert len(lines) == len(set(lines)) > 120
    together = min(max(lines), max(whole))[:20]
    pods = {line.split()[1] for line in lines}
    until = min([together, *(max(line for line in lines if pod in line)[:20] for pod in pods)])
    until = min([until, *(max(line for line in whole if pod in line)[:20] for pod in pods)])
    since = max(min(lines), min(whole))[:20]
    assert {line for line in whole if since < line[:20] < until} == {
        line for line in lines if since < line[:20] < until
    }


async def test_who_may_not_look_gets_no_stream(site: Site) -> None:
    async with httpx2.AsyncClient(base_url=site.url) as nobody:
        assert (await nobody.get(INGEST)).status_code == 303
    async with site.browser(person("ada", "auditor")) as auditor:
        for address in (INGEST, "/console/live", "/console/cluster", "/console/live/events"):
            assert (await auditor.get(address)).status_code == 403, address
    async with site.browser(person(tenant="marlow")) as stranger:
        [(event, _, said)] = [each async for each in messages(stranger, INGEST)]
        assert event == "end" and "that you may see" in said
    async with site.browser(person()) as alice:
        assert (await alice.get("/console/live/logs?namespace=production&pod=../x")).status_code == 400
        [(event, _, said)] = [each async for each in messages(alice, INGEST, "forged")]
        assert event == "end" and "cursor does not fit" in said


async def test_a_revoked_key_ends_the_stream_that_is_open(site: Site) -> None:
    async with site.browser(person("mallory")) as mallory, asyncio.timeout(20):
        ended = None
        async for event, _, said in messages(mallory, INGEST):
            if event == "end":
                ended = said
            for key in site.served.runtime.credentials.api_keys.all():
                if key.owner == "mallory":
                    site.served.runtime.credentials.api_keys.revoke(key.id)
    assert ended is not None and "Your session has ended" in ended


async def test_nobody_opens_more_than_a_few(site: Site) -> None:
    async with site.browser(person()) as alice, asyncio.timeout(20):
        opened = [messages(alice, INGEST) for _ in range(8)]
        for stream in opened:
            await anext(stream)
        [(event, _, said)] = [each async for each in messages(alice, INGEST)]
        assert event == "end" and "Too many live pages" in said
        await opened.pop().aclose()
        while (await anext(messages(alice, INGEST)))[0] == "end":
            await asyncio.sleep(0.05)
        for stream in opened:
            await stream.aclose()


async def test_pages_say_how_the_cluster_is(site: Site) -> None:
    async with site.browser(person()) as alice:
        cluster = (await alice.get("/console/cluster")).text
        assert "fern-ams-1 (simulated)" in cluster and "Read-only" in cluster and "alert-engine" in cluster
        assert "4 healthy" in cluster or "healthy," in cluster
        empty = (await alice.get("/console/live")).text
        assert "Choose what to follow" in empty and "follow.js" not in empty
        full = (await alice.get("/console/live?namespace=production&workload=ingest-api")).text
        assert "/console/live/logs?namespace=production&amp;workload=ingest-api" in full
        assert (await alice.get("/console/live?namespace=nothing-here")).status_code == 404
