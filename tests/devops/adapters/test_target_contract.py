"""One suite for the writing half of every cluster: preconditions, dry runs and refusals are those of the real API."""

import copy
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.errors import AppError, Conflict, InvalidInput, NotFound, Unavailable
from devops.adapters.kubernetes_cluster import KubernetesCluster
from devops.adapters.kubernetes_target import KubernetesTarget
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.adapters.simulated.target import SimulatedTarget
from devops.changes.ports import ChangeTarget
from devops.kinds import BUDGET, CONFIG_MAP, DEPLOYMENT, POD
from devops.ports import Manifest
from tests.support.clusters import Place, real, simulated, until


@dataclass
class Work:
    """A cluster to write to, and a namespace of our own in it."""

    target: ChangeTarget
    place: Place

    @property
    def namespace(self) -> str:
        return self.place.namespace

    def note(self, text: str = "1") -> Manifest:
        metadata = {"name": "note", "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": text}}

    async def live(self) -> Manifest:
        found = await self.target.read(CONFIG_MAP, self.namespace, "note")
        assert found is not None
        return found


@pytest.fixture(params=["simulated", "real"])
async def work(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Work]:
    async with AsyncExitStack() as stack:
        if request.param == "simulated":
            place = await stack.enter_async_context(simulated(tmp_path))
            assert isinstance(place.cluster, SimulatedCluster)
            yield Work(SimulatedTarget(place.cluster), place)
        else:
            place = await stack.enter_async_context(real(request.getfixturevalue("kubernetes_folder")))
            assert isinstance(place.cluster, KubernetesCluster)
            yield Work(KubernetesTarget(place.cluster.name, place.cluster.api), place)


async def test_what_is_not_there_is_none(work: Work) -> None:
    assert await work.target.read(CONFIG_MAP, work.namespace, "note") is None


async def test_a_dry_run_answers_as_the_write_and_changes_nothing(work: Work) -> None:
    created = await work.target.create(work.note(), dry_run=True)
    assert created["data"] == {"text": "1"}
    assert await work.target.read(CONFIG_MAP, work.namespace, "note") is None
    await work.target.create(work.note(), dry_run=False)
    live = await work.live()
    assert (await work.target.replace({**live, "data": {"text": "2"}}, dry_run=True))["data"] == {"text": "2"}
    assert (await work.target.apply(work.note("3"), dry_run=True))["data"] == {"text": "3"}
    metadata = live["metadata"]
    version, uid = metadata["resourceVersion"], metadata["uid"]
    await work.target.delete(CONFIG_MAP, work.namespace, "note", version, uid, dry_run=True)
    assert await work.live() == live


async def test_what_exists_is_not_created_again(work: Work) -> None:
    await work.target.create(work.note(), dry_run=False)
    for dry_run in (True, False):
        with pytest.raises(Conflict):
            await work.target.create(work.note("2"), dry_run)


@pytest.mark.parametrize("field", ["resourceVersion", "uid"])
async def test_another_version_or_object_is_not_touched(work: Work, field: str) -> None:
    await work.target.create(work.note(), dry_run=False)
    stale = copy.deepcopy(await work.live())
    await work.target.replace({**stale, "data": {"text": "2"}}, dry_run=False)
    live = await work.live()
    if field == "uid":
        stale["metadata"] |= {"resourceVersion": live["metadata"]["resourceVersion"], "uid": "0" * 36}
    wrong = stale["metadata"]
    for dry_run in (True, False):
        with pytest.raises(Conflict):
            await work.target.replace({**stale, "data": {"text": "9"}}, dry_run)
        with pytest.raises((Conflict, InvalidInput)):  # the real server calls another uid in an apply invalid
            item = work.note("9")
            item["metadata"] |= {"resourceVersion": wrong["resourceVersion"], "uid": wrong["uid"]}
            await work.target.apply(item, dry_run)
        with pytest.raises(Conflict):
            version, uid = wrong["resourceVersion"], wrong["uid"]
            await work.target.delete(CONFIG_MAP, work.namespace, "note", version, uid, dry_run)
    assert await work.live() == live


async def test_apply_creates_and_then_changes_what_it_names(work: Work) -> None:
    await work.target.apply(work.note(), dry_run=False)
    live = await work.live()
    item = work.note("2")
    item["metadata"] |= {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
    await work.target.apply(item, dry_run=False)
    assert (await work.live())["data"] == {"text": "2"}


async def test_delete_takes_what_it_owns_along(work: Work) -> None:
    await work.place.deploy("app", 2)
    await work.place.pods(2, app="app")
    live = await work.target.read(DEPLOYMENT, work.namespace, "app")
    assert live is not None
    for _ in range(5):  # controllers write the status, so the version may be another by now
        metadata = live["metadata"]
        try:
            version, uid = metadata["resourceVersion"], metadata["uid"]
            await work.target.delete(DEPLOYMENT, work.namespace, "app", version, uid, dry_run=False)
            break
        except Conflict:
            live = await work.target.read(DEPLOYMENT, work.namespace, "app") or live

    async def gone() -> bool:
        return not await work.target.related(POD, work.namespace, labels={"app": "app"})

    assert await until(gone)


async def test_an_eviction_respects_the_budget_and_the_uid(work: Work) -> None:
    await work.place.deploy("app", 2)
    pods = await work.place.pods(2, app="app")
    pod = pods[0]["metadata"]
    with pytest.raises(Conflict):
        await work.target.evict(work.namespace, pod["name"], "0" * 36, dry_run=False)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "app", "namespace": work.namespace},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "app"}}},
    }
    await work.target.create(budget, dry_run=False)

    async def counted() -> bool:
        found = await work.target.read(BUDGET, work.namespace, "app")
        return bool(found and found.get("status", {}).get("expectedPods") == 2)

    assert await until(counted)
    with pytest.raises((Conflict, Unavailable)):
        await work.target.evict(work.namespace, pod["name"], pod["uid"], dry_run=False)
    live = await work.target.read(BUDGET, work.namespace, "app")
    assert live is not None
    await work.target.delete(
        BUDGET, work.namespace, "app", live["metadata"]["resourceVersion"], live["metadata"]["uid"], False
    )
    await work.target.evict(work.namespace, pod["name"], pod["uid"], dry_run=False)

    async def replaced() -> bool:
        names = {each["metadata"]["name"] for each in await work.target.related(POD, work.namespace)}
        return pod["name"] not in names and len(names) == 2

    assert await until(replaced)


async def test_what_the_cluster_refuses_is_told_apart_from_what_nobody_knows(work: Work) -> None:
    wrong = work.note()
    wrong["apiVersion"] = "v2"
    with pytest.raises((InvalidInput, NotFound)):
        await work.target.create(wrong, dry_run=False)
    elsewhere = work.note()
    elsewhere["metadata"]["namespace"] = "no-such-namespace"
    with pytest.raises(AppError) as caught:
        await work.target.create(elsewhere, dry_run=False)
    assert not isinstance(caught.value, Unavailable)
