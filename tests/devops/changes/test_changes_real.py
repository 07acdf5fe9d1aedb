"""The change engine against a real control plane: what its plans promise, the API server does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.runtime import Runtime, build_runtime
from common.security.principal import Principal
from common.settings import CommonSettings
from devops.bootstrap import build_devops, opened
from devops.bootstrap_changes import CHANGE_POLICY, ChangeEngine, build_changes, opened_changes
from devops.changes.change import Change
from devops.changes.execution import Timing
from devops.changes.manifests import mark_of
from devops.changes.operations import Cordon, Delete, Drain, Operation, Restart, Scale, SetImage
from devops.changes.rollouts import Patience, Rollout
from devops.kinds import CONFIG_MAP, DEPLOYMENT, NODE, POD, Kind
from devops.ports import Manifest
from devops.server import POLICIES
from devops.settings import DevopsSettings
from tests.support.clusters import SIZE, Place, deployment, real, until

TIMING = Timing(lease=60, write=20, drain=40, pause=0.2)


@dataclass
class RealDesk:
    """The engine, and a namespace of our own in a real cluster."""

    runtime: Runtime
    built: ChangeEngine
    place: Place

    def person(self, name: str, role: str) -> Principal:
        return self.runtime.credentials.api_keys.create(name, "local", [role], [])[0].principal

    async def done(self, operation: Operation, name: str = "app", kind: Kind = DEPLOYMENT) -> Change:
        """Planned, approved by whom it needs, executed."""
        namespace = None if kind is NODE else self.place.namespace
        olga = self.person("olga", "operator")
        return await self.carried_out(await self.built.changes.request(olga, None, kind, namespace, name, operation))

    async def carried_out(self, change: Change) -> Change:
        approvals, now = self.built.changes.approvals, self.built.changes.clock.now()
        if change.state == "awaiting_confirmation":
            change = await approvals.confirm(change, change.draft.digest, change.draft.requester.principal, True)
        for name in ("amir", "ben"):
            if change.state == "awaiting_approval":
                change = await approvals.approve(change, change.draft.digest, self.person(name, "approver"), now)
        await self.built.executor.execute(change)
        return await self.built.store.get(change.id, "local")

    async def live(self, kind: Kind = DEPLOYMENT, name: str = "app") -> Manifest | None:
        [target] = self.built.changes.targets.values()
        return await target.read(kind, None if kind is NODE else self.place.namespace, name)


@asynccontextmanager
async def real_desk(folder: Path, kubernetes: Path, **settings: Any) -> AsyncIterator[RealDesk]:
    runtime = build_runtime("devops", CommonSettings(data_dir=folder), [*POLICIES, CHANGE_POLICY])
    own = DevopsSettings(
        mode="read-write", cluster="kubeconfig", kubeconfig=kubernetes / "admin.kubeconfig", **settings
    )
    devops = build_devops(runtime.settings, own, runtime.key)
    built = build_changes(runtime, devops, TIMING)
    async with (
        real(kubernetes) as place,
        runtime.opened(),
        opened(devops),
        opened_changes(built, work=False),
    ):
        yield RealDesk(runtime, built, place)


@pytest.fixture
async def desk(tmp_path: Path, kubernetes_folder: Path) -> AsyncIterator[RealDesk]:
    async with real_desk(tmp_path, kubernetes_folder) as opened_desk:
        yield opened_desk


async def test_workloads_change_as_planned(desk: RealDesk) -> None:
    await desk.place.deploy("app", 2)
    await desk.place.pods(2, app="app")
    change = await desk.done(SetImage(container="app", image="example.com/app:2"))
    assert change.state == "succeeded", change.outcome
    assert '-      "image": "example.com/app:1"' in change.draft.plan.diff
    live = await desk.live()
    assert live and mark_of(live) == change.id

    async def rolled_out() -> bool:
        now = await desk.live()
        return bool(now and (now["metadata"]["annotations"].get("deployment.kubernetes.io/revision") == "2"))

    assert await until(rolled_out)
    olga = desk.person("olga", "operator")
    back = await desk.carried_out(await desk.built.changes.rollback(olga, None, desk.place.namespace, "app", None))
    assert back.state == "succeeded", back.outcome
    live = await desk.live()
    assert live and live["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/app:1"
    for operation in (Restart(at="2026-11-23T06:00:00Z"), Scale(replicas=1)):
        assert (await desk.done(operation)).state == "succeeded"
    live = await desk.live()
    assert live and live["spec"]["replicas"] == 1
    assert (await desk.done(Delete())).state == "succeeded"
    assert await desk.live() is None or "deletionTimestamp" in ((await desk.live()) or {})["metadata"]


async def test_manifests_are_applied_and_applied_again(desk: RealDesk) -> None:
    olga = desk.person("olga", "operator")
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note", "namespace": desk.place.namespace}}
    for value in ("1", "2"):
        planned = await desk.built.changes.apply(olga, None, {**item, "data": {"a": value}})
        change = await desk.carried_out(planned)
        assert change.state == "succeeded", change.outcome
        live = await desk.live(CONFIG_MAP, "note")
        assert live and live["data"] == {"a": value}


async def test_drift_is_noticed_and_status_is_none(desk: RealDesk) -> None:
    await desk.place.deploy("app", 1)
    await desk.place.pods(1, app="app")
    olga, namespace = desk.person("olga", "operator"), desk.place.namespace
    planned = [
        await desk.built.changes.request(olga, None, DEPLOYMENT, namespace, "app", Scale(replicas=number))
        for number in (2, 3)
    ]
    assert (await desk.carried_out(planned[0])).state == "succeeded"
    assert (await desk.carried_out(planned[1])).state == "drifted"


async def test_a_node_is_cordoned_and_drained(desk: RealDesk) -> None:
    node = desk.place.namespace
    status = {"capacity": SIZE, "allocatable": SIZE}
    await desk.place.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "status": status})
    assert (await desk.done(Cordon(), node, NODE)).state == "succeeded"
    live = await desk.live(NODE, node)
    assert live and live["spec"]["unschedulable"] is True
    assert (await desk.done(Cordon(cordoned=False), node, NODE)).state == "succeeded"
    await desk.place.deploy("app", 4)
    await desk.place.pods(4, app="app")
    [target] = desk.built.changes.targets.values()
    there = await target.related(POD, None, fields={"spec.nodeName": node})
    change = await desk.done(Drain(), node, NODE)
    assert change.state == "succeeded", change.outcome
    assert f"{len(there)} pods were evicted" in (change.outcome or "")
    assert not await target.related(POD, desk.place.namespace, fields={"spec.nodeName": node})


async def test_a_rollout_is_followed_halted_and_led_back(tmp_path: Path, kubernetes_folder: Path) -> None:
    async with real_desk(tmp_path, kubernetes_folder, rollout_halt="on") as desk:
        watcher = desk.built.watcher

        async def ends(change: Change, *states: str) -> Rollout:
            async def ended() -> Rollout | None:
                await watcher.look()
                rollout = await desk.built.changes.rollouts.of(change.id)
                return rollout if rollout and rollout.state in states else None

            return await until(ended)

        await desk.place.deploy("app", 2)
        await desk.place.pods(2, app="app")
        good = await desk.done(SetImage(container="app", image="example.com/app:2"))
        rollout = await ends(good, "complete", "halted")
        assert (rollout.state, rollout.ready, rollout.old) == ("complete", 2, 0)
        # No node has this label, so that its pods never start.
        manifest = deployment(desk.place.namespace, "app", 2, image="example.com/app:3")
        manifest["spec"]["template"]["spec"]["nodeSelector"] = {"test": "nowhere"}
        olga = desk.person("olga", "operator")
        bad = await desk.carried_out(await desk.built.changes.apply(olga, None, manifest))
        assert bad.state == "succeeded", bad.outcome
        # Only here: on a slow machine a good one stands still for a second, too.
        watcher._patience = Patience(stall=1.0)
        rollout = await ends(bad, "halted", "complete")
        watcher._patience = Patience()
        assert rollout.state == "halted" and "No replica became ready" in rollout.reason
        live = await desk.live()
        assert live and live["spec"]["paused"] is True
        back = await desk.carried_out(await desk.built.changes.way_back(olga, bad.id))
        assert back.state == "succeeded", back.outcome
        assert (await ends(back, "complete", "halted")).state == "complete"
        live = await desk.live()
        assert live and "nodeSelector" not in live["spec"]["template"]["spec"] and "paused" not in live["spec"]
