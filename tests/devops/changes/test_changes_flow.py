"""Changes from the wish to the outcome, over the simulated cluster."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from common.errors import Conflict, Denied, InvalidInput, NotFound, RateLimited
from devops.changes.change import Blast, Change, Switch, Target
from devops.changes.execution import Timing
from devops.changes.gates import DAYS, Day, Gates, Window
from devops.changes.operations import Apply, Cordon, Delete, Drain, Restart, Rollback, Scale, SetImage
from devops.changes.risk import assess
from devops.kinds import CONFIG_MAP, DEPLOYMENT, NODE, POD
from devops.ports import Query
from tests.support.changing import CALM, PORTAL, PRODUCTION, Bench, bench, set_clock

IMAGE = "registry.fernhill.example/web-portal:2026.2.3"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, environments={"load-*": "development"}) as opened:
        yield opened


async def test_from_the_plan_to_the_outcome(desk: Bench) -> None:
    before = await desk.replicas()
    change = await desk.plan(desk.person("olga", "operator"))
    assert (change.state, change.draft.risk, change.draft.environment) == ("awaiting_approval", "high", "production")
    assert '-  "replicas": ' in change.draft.plan.diff and '+  "replicas": 0' in change.draft.plan.diff
    assert await desk.replicas() == before  # the dry run changed nothing
    change = await desk.approve(change, desk.person("amir", "approver"))
    assert change.state == "approved"
    change = await desk.execute(change)
    assert (change.state, await desk.replicas()) == ("succeeded", 0)
    states = [entry.state for entry in await desk.built.store.journal(change.id)]
    assert states == ["planned", "awaiting_approval", "approved", "executing", "succeeded"]
    assert change.draft.plan.undo and change.draft.plan.undo["arguments"]["replicas"] == before


async def test_low_risk_is_confirmed_and_in_development_allowed(desk: Bench) -> None:
    olga = desk.person("olga", "operator")
    assert (await desk.plan(olga, Scale(replicas=9))).state == "awaiting_confirmation"
    [row] = (await desk.cluster.table(DEPLOYMENT, Query("load-test"))).items
    assert (await desk.plan(olga, Scale(replicas=9), row.name, namespace="load-test")).state == "approved"


async def carried_out(desk: Bench, change: Change) -> str:
    """Let everybody say yes whose yes it needs, and execute it."""
    if change.state == "awaiting_confirmation":
        requester = change.draft.requester.principal
        change = await desk.built.changes.approvals.confirm(change, change.draft.digest, requester, True)
    for name in ("amir", "ben"):
        if change.state == "awaiting_approval":
            change = await desk.approve(change, desk.person(name, "approver"))
    change = await desk.execute(change)
    return f"{change.state}: {change.outcome}"


async def test_each_operation_does_what_its_plan_says(desk: Bench) -> None:
    olga = desk.person("olga", "operator")
    assert "succeeded" in await carried_out(desk, await desk.plan(olga, Restart(at="2026-11-23T06:00:00Z")))
    live = await desk.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL)
    annotations = live["spec"]["template"]["metadata"]["annotations"]
    assert annotations["kubectl.kubernetes.io/restartedAt"] == "2026-11-23T06:00:00Z"
    assert "succeeded" in await carried_out(desk, await desk.plan(olga, SetImage(container=PORTAL, image=IMAGE)))
    live = await desk.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL)
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE
    rollback = await desk.built.changes.rollback(olga, None, PRODUCTION, PORTAL, None)
    # Its way back is a call that the tool takes.
    where = {"cluster": rollback.draft.target.cluster, "namespace": PRODUCTION, "name": PORTAL}
    assert rollback.draft.plan.undo == {"tool": "rollback_workload", "arguments": where}
    assert "succeeded" in await carried_out(desk, rollback)
    live = await desk.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL)
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] != IMAGE
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note", "namespace": PRODUCTION}}
    assert "succeeded" in await carried_out(
        desk, await desk.built.changes.apply(olga, None, {**manifest, "data": {"a": "1"}})
    )
    assert "succeeded" in await carried_out(
        desk, await desk.built.changes.apply(olga, None, {**manifest, "data": {"a": "2"}})
    )
    assert (await desk.cluster.get(CONFIG_MAP, PRODUCTION, "note"))["data"] == {"a": "2"}
    assert "succeeded" in await carried_out(desk, await desk.plan(olga, Delete(), "note", CONFIG_MAP))
    with pytest.raises(NotFound):
        await desk.cluster.get(CONFIG_MAP, PRODUCTION, "note")
    node = "fern-ams-1-apps-1"
    assert "succeeded" in await carried_out(desk, await desk.plan(olga, Cordon(), node, NODE))
    assert (await desk.cluster.get(NODE, None, node))["spec"]["unschedulable"] is True
    assert "succeeded" in await carried_out(desk, await desk.plan(olga, Cordon(cordoned=False), node, NODE))
    drained = await carried_out(desk, await desk.plan(olga, Drain(), "fern-ams-1-store-1", NODE))
    assert "succeeded" in drained and "were evicted" in drained


async def test_what_would_change_nothing_is_no_change(desk: Bench) -> None:
    with pytest.raises(Conflict, match="Nothing would change"):
        await desk.plan(desk.person("olga", "operator"), Scale(replicas=await desk.replicas()))


async def test_what_does_not_exist_is_named(desk: Bench) -> None:
    olga = desk.person("olga", "operator")
    with pytest.raises(NotFound, match="no Deployment production/nothing"):
        await desk.plan(olga, Scale(replicas=1), "nothing")
    with pytest.raises(NotFound, match="There is: web-portal"):
        await desk.plan(olga, SetImage(container="wrong", image=IMAGE))
    with pytest.raises(InvalidInput, match="one pod on each node"):
        Scale(replicas=1).edited({"kind": "DaemonSet", "spec": {}})


async def test_a_drain_respects_budgets_and_says_how_far_it_came(tmp_path: Path) -> None:
    timing = Timing(lease=30.0, write=15.0, drain=0.5, pause=0.02)
    async with bench(tmp_path, timing) as desk:
        change = await desk.plan(desk.person("olga", "operator"), Drain(), "fern-ams-1-apps-2", NODE)
        assert "budget (one of 3) allows no disruption now" in change.draft.plan.reasons
        ended = await carried_out(desk, change)
        assert ended.startswith("failed: The time is over") and "pods are left" in ended
        pods = (await desk.cluster.objects(POD, Query(PRODUCTION, {"app": "web-portal"}))).items
        assert any(pod["spec"].get("nodeName") == "fern-ams-1-apps-2" for pod in pods)


async def slow_drain(desk: Bench, meanwhile: Callable[[], Awaitable[Any]]) -> Change:
    """A node with two pods is drained, and with each eviction something happens."""
    change = await desk.plan(desk.person("olga", "operator"), Drain(), "fern-ams-1-store-1", NODE)
    change = await desk.approve(change, desk.person("amir", "approver"))
    [target] = desk.built.changes.targets.values()
    evict = target.evict

    async def evicting(namespace: str, pod: str, uid: str, dry_run: bool) -> None:
        await evict(namespace, pod, uid, dry_run)
        await meanwhile()

    target.evict = evicting  # type: ignore[method-assign]
    return await desk.execute(change)


async def test_a_drain_keeps_its_lease_however_long_evictions_take(desk: Bench) -> None:
    clock = desk.built.changes.clock

    async def later() -> None:
        set_clock(clock, clock.now() + CALM.lease * 2 / 3)
        await desk.built.sweeper.sweep()

    ended = await slow_drain(desk, later)
    assert (ended.state, ended.outcome) == ("succeeded", "The node is cordoned, and 2 pods were evicted.")


async def test_the_switch_stops_a_drain_before_the_next_eviction(desk: Bench) -> None:
    root = desk.person("root", "admin")
    ended = await slow_drain(desk, lambda: desk.built.changes.switch(root, True, "an incident"))
    assert ended.state == "failed" and "stopped: 1 pods are left, 1 were evicted" in (ended.outcome or "")


async def test_a_status_is_no_drift_and_a_new_spec_is(desk: Bench) -> None:
    olga, amir = desk.person("olga", "operator"), desk.person("amir", "approver")
    calm, drifted = await desk.plan(olga), await desk.plan(olga)
    live = await desk.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL)
    live["metadata"].setdefault("annotations", {})["deployment.kubernetes.io/revision"] = "77"
    await desk.cluster.replace(live)
    assert (await desk.execute(await desk.approve(calm, amir))).state == "succeeded"
    drifted = await desk.execute(await desk.approve(drifted, amir))
    assert drifted.state == "drifted" and "Plan it anew" in (drifted.outcome or "")


async def test_another_object_of_the_same_name_is_drift(desk: Bench) -> None:
    olga, amir = desk.person("olga", "operator"), desk.person("amir", "approver")
    change = await desk.approve(await desk.plan(olga), amir)
    live = await desk.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL)
    await desk.cluster.delete(DEPLOYMENT, PRODUCTION, PORTAL)
    await desk.cluster.create(
        {**live, "metadata": {"name": PORTAL, "namespace": PRODUCTION, "labels": live["metadata"]["labels"]}}
    )
    assert (await desk.execute(change)).state == "drifted"


async def test_the_hour_has_a_limit_for_a_person_and_environment(tmp_path: Path) -> None:
    async with bench(tmp_path) as desk:
        desk.built.changes.planner._limits = type(desk.built.changes.planner._limits)(3600, 2)
        olga = desk.person("olga", "operator")
        await desk.plan(olga)
        await desk.plan(desk.person("Olga ", "operator"))  # another key, the same person
        with pytest.raises(RateLimited, match="within an hour"):
            await desk.plan(olga)
        await desk.plan(desk.person("otto", "operator"))


async def test_time_is_a_visible_no(desk: Bench) -> None:
    change = await desk.plan(desk.person("olga", "operator"))
    set_clock(desk.built.changes.clock, change.draft.expires_at + 1)
    with pytest.raises(Conflict, match="expired"):
        await desk.approve(change, desk.person("amir", "approver"))
    await desk.built.sweeper.sweep()
    change = await desk.again(change)
    assert change.state == "expired" and "Nobody said yes" in (change.outcome or "")


async def test_freezes_windows_and_the_switch_stop_everybody(tmp_path: Path) -> None:
    frozen = [{"environment": "production", "start": "2020-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"}]
    async with bench(tmp_path, freezes=frozen) as desk:
        with pytest.raises(Denied, match="frozen until 2099"):
            await desk.plan(desk.person("root", "admin"))


@pytest.mark.parametrize(
    ("days", "start", "end", "opens"),
    [
        (("fri",), "22:00", "04:00", ["fri 22:00", "fri 23:30", "sat 00:00", "sat 04:00"]),
        (("sun",), "23:30", "00:00", ["sun 23:30", "mon 00:00"]),
        (("sat",), "00:00", "04:00", ["sat 00:00", "sat 04:00"]),
    ],
)
def test_a_window_may_go_on_into_the_next_day(days: tuple[Day, ...], start: str, end: str, opens: list[str]) -> None:
    gates = Gates({}, windows={"production": [Window(days=days, start=start, end=end)]})
    hours = [(day, time) for day in range(7) for time in ("00:00", "04:00", "04:01", "22:00", "23:30")]
    monday = 5  # of January 2026
    found = [
        f"{DAYS[day]} {time}"
        for day, time in hours
        if gates.closed("production", _seconds(f"2026-01-{monday + day:02}T{time}Z"), Switch()) is None
    ]
    assert sorted(found) == sorted(opens)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


async def test_the_switch_counts_at_once_everywhere(tmp_path: Path) -> None:
    async with bench(tmp_path) as desk, bench(tmp_path) as other:
        olga, amir, root = (
            desk.person("olga", "operator"),
            desk.person("amir", "approver"),
            desk.person("root", "admin"),
        )
        waiting = await desk.plan(olga)
        approved = await desk.approve(await desk.plan(olga), amir)
        await other.built.changes.switch(root, True, "an incident")
        with pytest.raises(Denied, match="switched off by root: an incident"):
            await desk.plan(olga)
        with pytest.raises(Denied, match="switched off"):
            await desk.approve(waiting, amir)
        assert (await desk.execute(approved)).state == "approved"
        # Even a process that looked a moment ago is stopped: the claim itself asks.
        assert not await desk.built.store.claim(approved, "x", 9e9, 0)
        await other.built.changes.switch(root, False, "")
        assert (await desk.execute(approved)).state == "succeeded"


async def test_risk_follows_what_can_go_wrong(desk: Bench) -> None:
    olga = desk.person("olga", "operator")
    assert (await desk.plan(olga, Scale(replicas=9))).draft.risk == "low"
    assert (await desk.plan(olga, Delete(), PORTAL)).draft.risk in ("high", "critical")


async def test_another_account_or_secret_is_of_critical_risk(desk: Bench) -> None:
    olga, spec = desk.person("olga", "operator"), (await desk.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL))["spec"]
    volume = {"name": "a", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "other"}}}
    for more in ({"serviceAccountName": "boss"}, {"serviceAccount": "boss"}, {"volumes": [volume]}):
        manifest = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": PORTAL, "namespace": PRODUCTION},
            "spec": {"template": {"spec": {**spec["template"]["spec"], **more}}},
        }
        change = await desk.built.changes.apply(olga, None, manifest)
        assert (change.draft.risk, change.draft.requirement.approvals) == ("critical", 2), more


def test_what_would_be_stored_counts() -> None:
    at, more = Target("c", "Deployment", "dev", "a"), Blast(replicas=2)
    after = {"spec": {"template": {"spec": {"serviceAccountName": "boss"}}}}
    for operation in (Apply(manifest={"spec": {}}), Rollback(revision=1)):
        assert [assess(operation, at, None, more, stored)[0] for stored in (None, after)] == ["medium", "critical"]
        assert assess(operation, at, after, more, after)[0] == "medium"
