"""The same causes, staged in a real control plane and in the simulated cluster."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from common.security.principal import Principal
from devops.access import Clusters
from devops.alerts import Alerts
from devops.bootstrap import NAMESPACE_POLICY
from devops.details import Details
from devops.diagnosis.gather import Gatherer
from devops.diagnosis.rules import Cause, likely_causes
from devops.logs import Logs
from devops.scope import NamespaceScope
from tests.support.clusters import Place, real, simulated, until

WHO = Principal("alice", "local", frozenset({"user"}), clearance="internal")
HUGE = {"resources": {"requests": {"cpu": "4000"}}}
STAGED = [
    ("crashes", {}, "A container ends soon after it starts"),
    ("out-of-memory", {}, "Out of memory: a container uses more than its limit"),
    ("image-missing", {}, "The image cannot be pulled"),
    ("not-ready", {}, "The readiness probe fails"),
    ("", HUGE, "No node has room for the pod"),
]


@pytest.fixture(params=["simulated", "real"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        if request.param == "simulated":
            yield await stack.enter_async_context(simulated(tmp_path))
        else:
            yield await stack.enter_async_context(real(request.getfixturevalue("kubernetes_folder")))


def gatherer(place: Place) -> Gatherer:
    clusters = Clusters([place.cluster], NamespaceScope(NAMESPACE_POLICY, "local", {}))
    details = Details(clusters)
    return Gatherer(details, Logs(clusters, details, 64 * 1024), Alerts(clusters, details, None))


async def first_cause(place: Place, name: str) -> Cause | None:
    facts = await gatherer(place).facts(WHO, None, place.namespace, name, None)
    assert not facts.missing
    causes = likely_causes(facts)
    return causes[0] if causes else None


async def test_staged_incidents_are_diagnosed(place: Place) -> None:
    for index, (behaviour, container, _) in enumerate(STAGED):
        await place.deploy(f"app-{index}", 2, behaviour, **container)
    for index, (_, _, expected) in enumerate(STAGED):

        async def named(name: str = f"app-{index}", expected: str = expected) -> Cause | None:
            found = await first_cause(place, name)
            return found if found and found.cause == expected else None

        cause = await until(named)
        assert cause.evidence and all(one.line and one.source for one in cause.evidence)


async def test_a_quota_that_is_used_up_is_diagnosed(place: Place) -> None:
    metadata = {"name": "small", "namespace": place.namespace}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "1"}}}
    await place.create(quota)
    await place.deploy("app", 3)

    async def named() -> Cause | None:
        found = await first_cause(place, "app")
        whole = found and any("pods: 1 of 1 used" in one.line for one in found.evidence)
        return found if found and found.cause == "A quota of the namespace is used up" and whole else None

    assert "exceeded quota" in (await until(named)).evidence[0].line


async def test_what_works_has_no_cause(place: Place) -> None:
    await place.deploy("app", 2)
    await place.pods(2)

    async def healthy() -> bool:
        return (await gatherer(place).facts(WHO, None, place.namespace, "app", None)).healthy

    assert await until(healthy)
    assert await first_cause(place, "app") is None
