"""Replicas of a server behind a load balancer: any of them answers, and one that dies takes nothing with it."""

import asyncio
import re
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport

from common.confirm import FIELD
from common.security.api_keys import ApiKeyStore
from infra.demo.servers import RunningServer, running, start_server, stop_server, wait_ready
from tests.benchmarks.requests import ERAS, tool_call
from tests.services.caddy import balancing
from tests.support.serving import ask

pytestmark = [pytest.mark.slow, pytest.mark.alone]
CALM = {"namespace": "production", "name": "report-worker"}
SETTINGS = {
    "DEVOPS_MODE": "read-write",
    "TRIPTYCH_RATE_LIMIT_PER_SECOND": "1000",
    "TRIPTYCH_RATE_LIMIT_BURST": "1000",
    "TRIPTYCH_DRAIN_DELAY_SECONDS": "1.5",
    "TRIPTYCH_LOG_LEVEL": "warning",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield tmp_path_factory.mktemp("replicas")


@pytest.fixture(scope="module")
def key(folder: Path) -> str:
    return ApiKeyStore(folder / "api-keys.json").create("olga", "local", ["operator", "user"], ["engineering"])[1]


@pytest.fixture
def replicas(folder: Path, key: str) -> Iterator[list[RunningServer]]:
    with running([("devops", 0), ("devops", 0)], folder) as servers:
        for server in servers:
            wait_ready(server)
        yield servers


def addresses(servers: list[RunningServer]) -> list[str]:
    return [server.url.removeprefix("http://") for server in servers]


def calls_of(server: RunningServer) -> int:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:  # noqa: S310 - loopback
        text = answer.read().decode()
    return sum(int(float(n)) for n in re.findall(r"triptych_call_seconds_count\{.*\} ([\d.e+]+)", text))


@asynccontextmanager
async def client(url: str, key: str, mode: str, **more: Any) -> AsyncIterator[Any]:
    async with Client(StreamableHttpTransport(f"{url}/mcp", auth=key), mode=mode, **more) as opened:
        yield opened


async def test_any_replica_answers_in_both_eras_and_what_one_began_the_other_finishes(
    replicas: list[RunningServer], key: str
) -> None:
    with balancing(addresses(replicas)) as url:
        for mode in ("auto", "legacy"):
            async with client(url, key, mode) as opened:
                assert "list_pods" in {tool.name for tool in await opened.list_tools()}
                for _ in range(6):
                    assert (await ask(opened, "list_nodes"))["items"]
        assert min(map(calls_of, replicas)) >= 3
        # An older client cannot be asked over HTTP: the change waits, and every replica knows it.
        async with client(url, key, "legacy") as opened:
            change = await ask(opened, "scale_workload", **CALM, replicas=4)
            states = [(await ask(opened, "get_change", change_id=change["change_id"]))["state"] for _ in range(4)]
            assert set(states) == {"awaiting_confirmation"}


async def test_a_replica_killed_between_the_rounds_of_a_confirmation_takes_nothing_with_it(
    replicas: list[RunningServer], key: str
) -> None:
    first, second = replicas
    asked: list[str] = []

    async def kill_and_say_yes(message: str, *_: Any) -> ElicitResult[Any]:
        asked.append(message)
        assert (calls_of(first), calls_of(second)) == (1, 0)
        first.process.kill()
        first.process.wait()
        return ElicitResult(action="accept", content={FIELD: True})

    with balancing(addresses(replicas), "first") as url:
        async with client(url, key, "auto", elicitation_handler=kill_and_say_yes) as opened:
            change = await ask(opened, "scale_workload", **CALM, replicas=5)
            details = await ask(opened, "get_change", change_id=change["change_id"])
    assert len(asked) == 1 and asked[0].startswith("Scale Deployment production/report-worker")
    assert change["state"] == "succeeded" and details["live"]["replicas"] == 5
    assert [step["state"] for step in details["journal"]].count("executing") == 1


class Load:
    """Calls of both eras that go on and on; each must be answered."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self.ended = False
        self.answered = 0
        self.lost: list[str] = []

    async def caller(self, number: int) -> None:
        headers, body = tool_call(ERAS[number % 2], "list_nodes", {})
        async with httpx2.AsyncClient(timeout=30) as http:
            while not self.ended:
                try:
                    answer = await http.post(f"{self._url}/mcp", content=body, headers={**headers, **self._headers})
                except httpx2.TransportError as error:
                    self.lost.append(repr(error))
                    continue
                if answer.status_code == 200 and '"isError":false' in answer.text:
                    self.answered += 1
                else:
                    self.lost.append(f"{answer.status_code} {answer.text[:200]}")


async def test_replicas_are_restarted_one_after_the_other_under_load_and_no_request_is_lost(
    replicas: list[RunningServer], folder: Path, key: str
) -> None:
    servers = list(replicas)
    with balancing(addresses(servers)) as url:
        load = Load(url, key)
        callers = [asyncio.create_task(load.caller(number)) for number in range(6)]
        try:
            for place, server in enumerate(servers):
                before = load.answered
                await asyncio.to_thread(stop_server, server)
                port = int(server.url.rpartition(":")[2])
                servers[place] = await asyncio.to_thread(start_server, "devops", port, folder)
                assert servers[place].url == server.url
                await asyncio.to_thread(wait_ready, servers[place])
                assert load.answered > before
                await asyncio.sleep(0.5)  # until the balancer has seen it
        finally:
            load.ended = True
            await asyncio.gather(*callers)
            for server in servers:
                await asyncio.to_thread(stop_server, server)
    assert load.lost == [] and load.answered > 50
