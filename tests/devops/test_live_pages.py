"""The console's live page, over both transports: who may open it, what comes, what a browser gets that was away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from common.security.principal import Principal
from common.settings import CommonSettings
from common.vertical import Served
from devops.adapters.simulated import cluster as simulated_cluster
from devops.server import build
from tests.support.live import live_at
from tests.support.live_streams import Message, Transport, messages, refusal, websocket
from tests.support.operations import person

BOTH = pytest.mark.parametrize("transport", ["events", "websocket"])
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
        async with httpx2.AsyncClient(base_url=self.url, timeout=60) as client:
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


async def read(
    transport: Transport, browser: httpx2.AsyncClient, address: str, count: int, last: str = ""
) -> tuple[list[str], str]:
    """At least `count` lines, and where the connection was then cut."""
    lines: list[str] = []
    async with aclosing(messages(transport, browser, address, last)) as found, asyncio.timeout(60):
        async for message in found:
            assert not message.is_end
            last = message.place
            lines += [f"{item['time']} {item['source']} {item['text']}" for item in message.data]
            if len(lines) >= count:
                break
    return lines, last


async def ending(transport: Transport, browser: httpx2.AsyncClient, address: str, last: str = "") -> Message:
    """Why it was ended at once."""
    [message] = [each async for each in messages(transport, browser, address, last)]
    assert message.is_end
    return message


async def first(transport: Transport, browser: httpx2.AsyncClient, address: str) -> Message:
    """What comes first."""
    async with aclosing(messages(transport, browser, address)) as found:
        return await anext(found)


def code_of(transport: Transport, code: int) -> int:
    """Server-sent events have none."""
    return code if transport == "websocket" else 0


@BOTH
async def test_a_browser_that_was_away_gets_what_came_meanwhile(site: Site, transport: Transport) -> None:
    # What one transport told is a place for the other one, too.
    other: Transport = "websocket" if transport == "events" else "events"
    async with site.browser(person()) as alice, site.browser(person("bob")) as bob:
        watching = asyncio.create_task(read(other, bob, INGEST, 160))
        lines, last = await read(transport, alice, INGEST, 1)
        for turn in (transport, other, transport):
            await asyncio.sleep(0.1)  # away
            more, last = await read(turn, alice, INGEST, 8, last)
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


@BOTH
async def test_who_may_not_look_gets_no_stream(site: Site, transport: Transport) -> None:
    async with httpx2.AsyncClient(base_url=site.url) as nobody:
        assert await refusal(transport, nobody, INGEST) == (401 if transport == "websocket" else 303)
    async with site.browser(person("ada", "auditor")) as auditor:
        for address in (INGEST, "/console/live/events"):
            assert await refusal(transport, auditor, address) == 403, address
        for address in ("/console/live", "/console/cluster"):
            assert (await auditor.get(address)).status_code == 403, address
    async with site.browser(person(tenant="marlow")) as stranger:
        said = await ending(transport, stranger, INGEST)
        assert "that you may see" in said.data and said.code == code_of(transport, 4404)
    async with site.browser(person()) as alice:
        assert await refusal(transport, alice, "/console/live/logs?namespace=production&pod=../x") == 400
        said = await ending(transport, alice, INGEST, "forged")
        assert "cursor does not fit" in said.data and said.code == code_of(transport, 4400)


async def test_a_stream_has_the_headers_of_the_console(site: Site) -> None:
    async with site.browser(person()) as alice, alice.stream("GET", INGEST) as answer:
        assert answer.headers["cache-control"] == "no-store" and "default-src 'none'" in str(answer.headers)


@BOTH
async def test_a_revoked_key_ends_the_stream_that_is_open(site: Site, transport: Transport) -> None:
    async with site.browser(person("mallory")) as mallory, asyncio.timeout(60):
        ended = None
        async for message in messages(transport, mallory, INGEST):
            if message.is_end:
                ended = message
            for key in site.served.runtime.credentials.api_keys.all():
                if key.owner == "mallory":
                    site.served.runtime.credentials.api_keys.revoke(key.id)
    assert ended is not None and "Your session has ended" in ended.data
    assert ended.code == code_of(transport, 4403)


@BOTH
async def test_nobody_opens_more_than_a_few(site: Site, transport: Transport) -> None:
    other: Transport = "websocket" if transport == "events" else "events"
    async with site.browser(person()) as alice, asyncio.timeout(60):
        opened = [messages(each, alice, INGEST) for each in (transport, other) * 4]
        for stream in opened:
            await anext(stream)
        said = await ending(transport, alice, INGEST)
        assert "Too many live pages" in said.data and said.code == code_of(transport, 4429)
        await opened.pop().aclose()
        while (await first(transport, alice, INGEST)).is_end:
            await asyncio.sleep(0.05)
        for stream in opened:
            await stream.aclose()


async def test_a_page_of_another_site_opens_no_websocket(site: Site) -> None:
    async with site.browser(person()) as alice:
        for origin in ("https://evil.example", "http://127.0.0.1:9", "null", None):
            with pytest.raises(InvalidStatus) as refused:
                async with websocket(alice, INGEST, origin):
                    pass
            assert refused.value.response.status_code == 403, origin
        with pytest.raises(InvalidStatus):
            async with websocket(alice, INGEST, **{"Sec-Fetch-Site": "same-site"}):
                pass
        with pytest.raises(InvalidStatus) as misled:
            async with websocket(alice, INGEST, name="evil.example"):
                pass
        assert misled.value.response.status_code == 421


async def test_a_websocket_says_where_it_was_and_nothing_more(site: Site) -> None:
    async with site.browser(person()) as alice, asyncio.timeout(60):
        async with websocket(alice, INGEST) as socket:
            assert socket.response and socket.response.headers["X-Request-Id"]
            await socket.send("")
            await socket.recv()
            await socket.send("and something else")
            with pytest.raises(ConnectionClosed):
                while True:
                    await socket.recv()
            assert socket.close_code == 1008
        async with websocket(alice, INGEST) as socket:
            await socket.send(b"bytes")
            await socket.wait_closed()
            assert socket.close_code == 1008
        with pytest.raises(InvalidStatus):
            async with websocket(alice, "/console/live"):
                pass


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
