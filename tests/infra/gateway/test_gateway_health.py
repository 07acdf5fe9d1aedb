"""When a replica counts as down, and when it is only busy."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

from prometheus_client import CollectorRegistry

from common.http.upstream import UpstreamMetrics
from common.resilience.breaker import Breaker
from common.resilience.bulkhead import Bulkhead
from infra.gateway.domain import Domain, Replica
from infra.gateway.health import HealthChecks
from infra.gateway.passport import OwnToken
from infra.gateway.settings import DomainLimits
from infra.gateway.wire import Reply, WireFailure


class Answers:
    """A wire whose health answers are given one by one; it stands still after the last."""

    def __init__(self, *answers: int | Exception) -> None:
        self._answers = list(answers)
        self.over = asyncio.Event()

    async def status(self, url: str, seconds: float) -> int:
        if not self._answers:
            self.over.set()
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def post(self, *_: Any) -> AbstractAsyncContextManager[Reply]:
        raise NotImplementedError

    async def close(self) -> None: ...


REFUSED, LATE = WireFailure("refused", sent=False), WireFailure("late", sent=True)


def a_replica(name: str, answered: float = 0.0) -> Replica:
    meter = UpstreamMetrics(CollectorRegistry()).of(name)
    return Replica(name, "http://127.0.0.1:1/mcp", Breaker(name), meter, answered=answered)


def domain_of(replicas: list[Replica], wire: Answers) -> Domain:
    return Domain("kb", replicas, DomainLimits(), Bulkhead("kb", 1, 1, 1), wire, OwnToken(), 1.0)


async def state_after(*answers: int | Exception, answered: float = 0.0) -> str:
    wire = Answers(*answers)
    [replica] = replicas = [a_replica("kb/1", answered)]
    domain = domain_of(replicas, wire)
    checks = HealthChecks([domain], "/health/ready", 0.0001, timeout_seconds=60)
    checks.start()
    async with asyncio.timeout(10):
        await wire.over.wait()
    await checks.stop()
    return replica.state


async def test_two_failures_mean_down_and_one_success_means_ready() -> None:
    assert await state_after(200) == "ready"
    assert await state_after(404) == "ready"  # a server that has no such page
    assert await state_after(200, REFUSED) == "ready"
    assert await state_after(200, REFUSED, 500) == "down"
    assert await state_after(200, REFUSED, REFUSED, 200) == "ready"
    assert await state_after(200, 503) == "draining"
    unforeseen = ValueError("no answer of HTTP")
    assert await state_after(200, unforeseen) == "ready"
    assert await state_after(200, unforeseen, unforeseen) == "down"
    assert await state_after(200, unforeseen, unforeseen, 200) == "ready"


async def test_one_that_answers_calls_is_busy_and_not_down() -> None:
    now = time.monotonic()
    assert await state_after(200, LATE, LATE, LATE, answered=now) == "ready"
    assert await state_after(200, LATE, LATE, LATE) == "down"
    assert await state_after(200, REFUSED, REFUSED, answered=now) == "down"


async def test_one_that_drains_is_asked_only_if_no_other_is_left() -> None:
    one, two = a_replica("kb/1"), a_replica("kb/2")
    domain = domain_of([one, two], Answers())
    one.state, two.state = "draining", "ready"
    assert all(domain.choose(f"tenant-{n}") is two for n in range(20))
    assert domain.choose("acme", [two]) is one and domain.choose("acme", [one, two]) is None
    two.state = "down"
    assert domain.choose("acme") is one
    one.state = "down"
    assert domain.choose("acme") is None
