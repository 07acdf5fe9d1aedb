"""What a diagnosis is gathered from: all replicas and no others', and events wherever they stand."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from common.errors import Unavailable
from common.security.principal import Principal
from devops.access import Clusters
from devops.alerts import Alerts
from devops.bootstrap import NAMESPACE_POLICY
from devops.details import Details, Workload
from devops.diagnosis import gather
from devops.diagnosis.facts import Facts
from devops.diagnosis.gather import Gatherer
from devops.diagnosis.rules import likely_causes
from devops.kinds import DEPLOYMENT, KINDS, POD, Kind
from devops.logs import Logs
from devops.ports import Cluster, Objects, Query
from devops.scope import NamespaceScope
from tests.support.clusters import Place, deployment, simulated

WHO = Principal("alice", "local", frozenset({"user"}), clearance="internal")


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """Its pages are so small that there are several."""
    monkeypatch.setattr(gather, "POD_PAGE", 2)
    monkeypatch.setattr(gather, "EVENT_PAGE", 2)
    async with simulated(tmp_path) as opened:
        yield opened


async def gathered(place: Place) -> Facts:
    clusters = Clusters([place.cluster], NamespaceScope(NAMESPACE_POLICY, "local", {}))
    details = Details(clusters)
    gatherer = Gatherer(details, Logs(clusters, details, 64 * 1024), Alerts(clusters, details, None))
    return await gatherer.facts(WHO, None, place.namespace, "app", None)


async def test_all_replicas_count_and_those_of_a_canary_do_not(place: Place) -> None:
    canary = deployment(place.namespace, "a-canary", 1)
    canary["spec"]["template"]["metadata"]["labels"] = {"app": "app", "track": "canary"}
    canary["spec"]["selector"]["matchLabels"] = {"app": "app", "track": "canary"}
    await place.create(canary)
    await place.deploy("app", 5)
    await place.pods(6, app="app")
    facts = await gathered(place)
    assert (facts.healthy, facts.ready, len(facts.pods), facts.missing) == (True, 5, 5, [])
    assert all(pod["metadata"]["name"].startswith("app-") for pod in facts.pods)


async def test_replicas_are_counted_also_where_not_all_pods_are_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "POD_PAGES", 1)
    await place.deploy("app", 5)
    await place.pods(5, app="app")
    facts = await gathered(place)
    assert (facts.healthy, facts.ready) == (True, 5)
    assert facts.missing == ["pods: there are more than the first 2"]


async def test_what_was_read_before_a_page_failed_counts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.deploy("app", 5)
    await place.pods(5, app="app")
    read = place.cluster.objects

    async def tired(kind: Kind, query: Query) -> Objects:
        if query.token and kind is POD:
            raise Unavailable("The cluster is tired.")
        return await read(kind, query)

    monkeypatch.setattr(place.cluster, "objects", tired)
    facts = await gathered(place)
    assert (facts.healthy, len(facts.pods)) == (True, 2)
    assert facts.missing == ["pods: only the first were read. The cluster is tired."]


EACH_NODE = {"desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberReady": 2}
REPLICAS = {"replicas": 2, "readyReplicas": 2, "currentRevision": "a"}


@pytest.mark.parametrize(
    ("kind", "status", "is_new"),
    [
        ("DaemonSet", {**EACH_NODE, "updatedNumberScheduled": 2}, True),
        ("DaemonSet", {**EACH_NODE, "updatedNumberScheduled": 1}, False),
        ("StatefulSet", {**REPLICAS, "updateRevision": "a"}, True),
        ("StatefulSet", {**REPLICAS, "updateRevision": "b"}, False),
        ("StatefulSet", {**REPLICAS, "updateRevision": "b", "updatedReplicas": 2}, True),
    ],
)
def test_what_still_has_old_replicas_is_not_healthy(kind: str, status: dict[str, Any], is_new: bool) -> None:
    item = {"metadata": {"name": "app", "namespace": "default"}, "spec": {"replicas": 2}, "status": status}
    assert Facts(Workload(cast(Cluster, None), KINDS[kind], item), (), ()).healthy == is_new


@pytest.mark.parametrize(("pages", "is_found"), [(20, True), (1, False)])
async def test_an_event_behind_many_others_is_found_or_missed(
    place: Place, monkeypatch: pytest.MonkeyPatch, pages: int, is_found: bool
) -> None:
    monkeypatch.setattr(gather, "EVENT_PAGES", pages)
    await place.deploy("app", 2, "not-ready")
    await place.pods(2, app="app")
    live = await place.cluster.get(DEPLOYMENT, place.namespace, "app")
    for number in range(3):
        await place.create(event(place, f"0-{number}", "somebody-else", "BackOff"))
    await place.create(event(place, "zzz", live["metadata"]["uid"], "FailedCreate"))
    facts = await gathered(place)
    assert ("Pods cannot be created" in [cause.cause for cause in likely_causes(facts)]) is is_found
    assert facts.missing == ([] if is_found else ["events: there are more than the first 2"])


def event(place: Place, name: str, uid: str, reason: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": place.namespace},
        "involvedObject": {"kind": "Deployment", "name": "app", "uid": uid},
        "type": "Warning",
        "reason": reason,
        "message": "the admission webhook denied the request",
        "lastTimestamp": "2099-01-01T00:00:00Z",
    }
