"""Following through the gateway, over real connections: lines arrive while they come, and who goes away ends it."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from common.runtime import Runtime
from common.settings import CommonSettings
from devops.adapters.simulated import cluster as simulated_cluster
from devops.server import build
from infra.gateway.bootstrap import Gateway
from infra.gateway.server import assemble
from tests.benchmarks.requests import ERAS, Era, raw_request
from tests.support.gateway import URL, domain_server, gateway_settings, keys
from tests.support.live import live
from tests.support.serving import ask

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])
INGEST = {"namespace": "production", "workload": "ingest-api"}
FREE: dict[str, Any] = {"rate_limit_per_second": 1000, "rate_limit_burst": 1000}


class Relay:
    """Connections to a server, which can be cut."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers |= {writer, outer}
        await asyncio.gather(_pump(reader, outer), _pump(inner, writer))
        self._writers -= {writer, outer}

    def cut(self) -> None:
        """All of them, at once."""
        for writer in self._writers:
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def relayed(url: str) -> AsyncIterator[tuple[str, Relay]]:
    relay = Relay(url)
    server = await asyncio.start_server(relay.join, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", relay
    finally:
        server.close()
        relay.cut()


@dataclass
class Front:
    """A gateway on a port of its own, before a DevOps server."""

    url: str
    gateway: Gateway
    devops: Runtime
    relay: Relay
    token: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, mode: str = "auto") -> Any:
        return Client(f"{self.url}/mcp", auth=self.token, mode=mode)

    @property
    def calls(self) -> tuple[int, float]:
        """That the gateway, and the domain, work on."""
        [domain] = self.gateway.domains
        return domain.replicas[0].in_flight, self.devops.metrics.in_flight.labels("devops")._value.get()


@asynccontextmanager
async def fronted(
    folder: Path, url: str, prefix: str = "devops", **settings: Any
) -> AsyncIterator[tuple[str, Gateway]]:
    common = CommonSettings(data_dir=folder, **FREE)
    served, gateway = assemble(common, gateway_settings({prefix: [url]}, **settings), URL)
    async with live(served.app) as address:
        yield address, gateway


@pytest.fixture
async def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Front]:
    began, loop = time.time(), asyncio.get_running_loop()
    started = loop.time()
    # A simulated container writes every 15 s of its clock; here it runs a hundred times as fast.
    hasty = lambda: began + (loop.time() - started) * 100  # noqa: E731
    monkeypatch.setenv("DEVOPS_MAX_LOG_BYTES", "1048576")
    monkeypatch.setattr(simulated_cluster.SimulatedCluster.__init__, "__defaults__", (hasty,))
    built = build(CommonSettings(data_dir=tmp_path, **FREE), "http://127.0.0.1:8002")
    token = keys(tmp_path).create("alice", "local", ["user"], ["engineering"], "internal")[1]
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(live(built.app))
        between, relay = await stack.enter_async_context(relayed(direct))
        url, gateway = await stack.enter_async_context(fronted(tmp_path, between))
        yield Front(url, gateway, built.runtime, relay, token)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@MODES
async def test_lines_arrive_while_they_come_and_are_whole_in_the_answer(front: Front, mode: str) -> None:
    heard: list[tuple[float, str]] = []
    loop = asyncio.get_running_loop()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((loop.time(), message or ""))

    async with front.client(mode) as alice:
        question = {**INGEST, "seconds": 1, "tail": 3}
        result = await alice.call_tool("devops_follow_logs", question, progress_handler=hear)
        ended = loop.time()
    answer = result.structured_content
    assert answer["ended"] == "the time is over" and answer["lines"] > 3
    assert len(heard) >= 2 and heard[0][0] < ended - 0.2
    assert "\n".join(text for _, text in heard) == answer["text"]


@pytest.mark.slow
@MODES
async def test_events_are_followed_in_the_same_way(front: Front, mode: str) -> None:
    async with front.client(mode) as alice:
        answer = await ask(alice, "devops_follow_events", namespace="production", seconds=1)
        assert answer["resume"] and answer["ended"] == "the time is over"
        again = await ask(alice, "devops_follow_events", namespace="production", seconds=1, resume=answer["resume"])
        assert again["ended"] == "the time is over"


@pytest.mark.parametrize("era", ERAS)
async def test_who_goes_away_ends_what_the_domain_does(front: Front, era: Era) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    question = {**INGEST, "seconds": 55, "tail": 1}
    writer.write(raw_request(era, "devops_follow_logs", question, front.port, front.token, progress=True))
    async with asyncio.timeout(20):
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"notifications/progress")
    assert front.calls == (1, 1)
    writer.transport.abort()
    began = time.monotonic()
    await until(lambda: front.calls == (0, 0))
    assert time.monotonic() - began < 20, "long before the call would have ended by itself"


@pytest.mark.slow
@MODES
async def test_after_a_broken_connection_nothing_is_lost(front: Front, mode: str) -> None:
    lines: list[str] = []
    async with front.client(mode) as alice:
        await alice.list_tools()
        answer = await ask(alice, "devops_follow_logs", **INGEST, seconds=1, tail=1)
        lines += answer["text"].splitlines()

        async def cut(*_: object) -> None:
            front.relay.cut()

        with pytest.raises(ToolError, match="broke off in the middle of the answer. Nothing is lost: call again"):
            question = {**INGEST, "seconds": 20, "resume": answer["resume"]}
            await alice.call_tool("devops_follow_logs", question, progress_handler=cut)
        answer = await ask(alice, "devops_follow_logs", **INGEST, seconds=1, resume=answer["resume"])
        lines += answer["text"].splitlines()
        everything = (await ask(alice, "devops_get_logs", **INGEST, tail=2000, since_seconds=3600))["text"].splitlines()
    pods = {line.split()[1] for line in lines}
    assert len(lines) > 10 and len(lines) == len(set(lines))
    first, last = lines[0].split()[0], min(max(line.split()[0] for line in lines if pod in line) for pod in pods)
    missing = [line for line in everything if first < line.split()[0] < last and line not in lines]
    assert (missing, set(lines) - set(everything)) == ([], set())


@pytest.mark.slow
async def test_who_does_not_read_keeps_no_place_at_the_domain(tmp_path: Path) -> None:
    async with domain_server(tmp_path, "kb") as kb:
        async with fronted(tmp_path, kb.url, "kb", limits={"kb": {"seconds": 4.0}}) as (url, gateway):
            port, [domain] = int(url.rpartition(":")[2]), gateway.domains
            token = keys(tmp_path).create("alice", "acme", ["user"], [], "internal")[1]
            with socket.socket() as idle:
                idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                idle.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(idle, ("127.0.0.1", port))
                await loop.sock_sendall(idle, raw_request("modern", "kb_much", {"megabytes": 8}, port, token))
                # The answer has begun, and no more of it is read.
                assert (await loop.sock_recv(idle, 12)).endswith(b" 200")
                assert domain.replicas[0].in_flight and domain.bulkhead.running
                await until(lambda: (domain.replicas[0].in_flight, domain.bulkhead.running) == (0, 0))
            assert domain.replicas[0].breaker.state == "closed"
