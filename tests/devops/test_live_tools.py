"""Following through MCP: progress while it runs, the whole in the answer, and no loss between two calls."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from devops.adapters.simulated import cluster as simulated_cluster
from tests.support.operations import PRODUCTION, Served, ask, person, served

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
INGEST = {"namespace": PRODUCTION, "workload": "ingest-api"}


@pytest.fixture
async def ops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    began, loop = time.time(), asyncio.get_running_loop()
    started = loop.time()
    # A simulated container writes every 15 s of its clock; here it runs a hundred times as fast.
    hasty = lambda: began + (loop.time() - started) * 100  # noqa: E731
    monkeypatch.setenv("DEVOPS_MAX_LOG_BYTES", "1048576")
    monkeypatch.setattr(simulated_cluster.SimulatedCluster.__init__, "__defaults__", (hasty,))
    async with served(tmp_path) as server:
        yield server


@ERAS
async def test_lines_arrive_as_progress_before_the_answer(ops: Served, mode: str) -> None:
    heard: list[tuple[float, str]] = []
    loop = asyncio.get_running_loop()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((loop.time(), message or ""))

    async with ops.client(person(), mode) as alice:
        result = await alice.call_tool("follow_logs", {**INGEST, "seconds": 2, "tail": 3}, progress_handler=hear)
        ended = loop.time()
    answer = result.structured_content
    assert answer["ended"] == "the time is over" and len(answer["sources"]) >= 4
    assert len(heard) >= 2 and heard[0][0] < ended - 0.5
    assert "\n".join(text for _, text in heard) == answer["text"]
    assert answer["lines"] == len(answer["text"].splitlines()) > 3
    assert answer["suspicious"] and "<untrusted-" in result.content[0].text


async def test_calls_that_follow_each_other_lose_nothing_and_double_nothing(ops: Served) -> None:
    lines: list[str] = []
    async with ops.client(person()) as alice:
        answer = await ask(alice, "follow_logs", **INGEST, seconds=1, tail=1)
        lines += answer["text"].splitlines()
        for limit in (1, 7, 500):
            answer = await ask(alice, "follow_logs", **INGEST, seconds=1, lines=limit, resume=answer["resume"])
            assert answer["lines"] <= limit
            lines += answer["text"].splitlines()
        everything = (await ask(alice, "get_logs", **INGEST, tail=2000, since_seconds=3600))["text"].splitlines()
    pods = {line.split()[1] for line in lines}
    assert len(lines) > 10 and len(lines) == len(set(lines))
    # In between nothing is missing; at the ends lines of one second may lie on either side.
    first, last = lines[0].split()[0], min(max(line.split()[0] for line in lines if pod in line) for pod in pods)
    missing = sorted(line[:60] for line in everything if first < line.split()[0] < last and line not in lines)
    assert (missing, sorted(set(lines) - set(everything))) == ([], [])


async def test_where_somebody_stood_is_signed_and_theirs(ops: Served) -> None:
    async with ops.client(person()) as alice, ops.client(person("bob")) as bob:
        resume = (await ask(alice, "follow_logs", **INGEST, seconds=1, lines=1))["resume"]
        other = {"namespace": PRODUCTION, "workload": "web-portal"}
        for client, question, given in ((bob, INGEST, resume), (alice, other, resume), (alice, INGEST, "gibberish")):
            with pytest.raises(Exception, match="cursor does not fit"):
                await ask(client, "follow_logs", **question, seconds=1, resume=given)
        with pytest.raises(Exception, match="either pod or workload"):
            await ask(alice, "follow_logs", namespace=PRODUCTION)


async def test_secrets_stay_where_they_are(ops: Served) -> None:
    async with ops.client(person()) as alice:
        answer = await ask(
            alice, "follow_logs", namespace=PRODUCTION, workload="alert-engine", seconds=1, tail=100, lines=500
        )
    assert "password=[redacted]" in answer["text"] and "9f2e-simulated" not in answer["text"]


async def test_strangers_follow_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVOPS_NAMESPACE_GROUPS", '{"load-test": ["qa"], "*": ["engineering"]}')
    async with served(tmp_path) as ops, ops.client(person(group="qa")) as tester:
        with pytest.raises(Exception, match="that you may see"):
            await ask(tester, "follow_logs", **INGEST)
        with pytest.raises(Exception, match="that you may see"):
            await ask(tester, "follow_events", namespace=PRODUCTION)
        answer: dict[str, Any] = await ask(tester, "follow_events", seconds=1)
        assert {item["namespace"] for item in answer["items"]} <= {"load-test"}
