"""What follows an executed change of a Deployment: numbers, trouble, a halt where it is allowed, and a way back."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.errors import Conflict
from common.security.audit import tail
from devops.changes.change import Change
from devops.changes.manifests import MARK
from devops.changes.operations import HALTED, REVISION, Restart, Scale, SetImage
from devops.changes.rollouts import Patience, Rollout, looked, template_of
from devops.kinds import DEPLOYMENT
from devops.ports import Manifest
from tests.common.console.console_site import Site, form_token
from tests.support.changing import PORTAL, PRODUCTION, Bench, bench, set_clock
from tests.support.clusters import until
from tests.support.notified import SECRET, receiver
from tests.support.operations import Served, ask, person, served

GOOD = "registry.fernhill.example/web-portal:2026.2.1"
MISSING = "registry.fernhill.example/web-portal:2026.9.9"
CHANGE = "chg-0000000000000001"


# What is said of one look


def deployment(**status: Any) -> Manifest:
    return {
        "metadata": {"uid": "d", "generation": 2, "annotations": {MARK: CHANGE, REVISION: "2"}},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"image": "a:2"}]}}},
        "status": {"observedGeneration": 2, "replicas": 4, **status},
    }


def replica_set(replicas: int = 2, ready: int = 1) -> Manifest:
    metadata = {"uid": "r", "annotations": {REVISION: "2"}, "ownerReferences": [{"uid": "d"}]}
    return {"metadata": metadata, "status": {"replicas": replicas, "readyReplicas": ready}}


def pod(owner: str = "r", restarts: int = 0, waiting: str = "") -> Manifest:
    container = {"name": "app", "ready": False, "restartCount": restarts, "state": {"waiting": {"reason": waiting}}}
    return {"metadata": {"ownerReferences": [{"uid": owner}]}, "status": {"containerStatuses": [container]}}


def one(before: Rollout | None = None, live: Manifest | None = None, **more: Any) -> Rollout:
    before = before or Rollout(CHANGE, "progressing", 1000.0, 1000.0)
    given = {"replica_sets": [replica_set()], "pods": [], "now": 1010.0, "patience": Patience(60, 600), **more}
    return looked(before, live or deployment(), **given)


def test_numbers_are_those_of_the_new_revision() -> None:
    seen = one()
    assert (seen.state, seen.wanted, seen.updated, seen.ready, seen.old) == ("progressing", 3, 2, 1, 2)
    assert seen.progressed_at == 1010.0
    done = deployment(replicas=3, availableReplicas=3)
    assert one(live=done, replica_sets=[replica_set(3, 3)]).state == "complete"
    for live, sets in (
        (deployment(replicas=4, availableReplicas=4), [replica_set(3, 3)]),  # an old one is left
        (deployment(replicas=3, availableReplicas=2), [replica_set(3, 3)]),
        (deployment(replicas=3, availableReplicas=3, observedGeneration=1), [replica_set(3, 3)]),  # of the spec before
    ):
        assert one(live=live, replica_sets=sets).state == "progressing"


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ([pod(waiting="ErrImagePull")], "does not start: ErrImagePull"),
        ([pod(waiting="ImagePullBackOff")], "does not start"),
        ([pod(waiting="CrashLoopBackOff", restarts=3)], "crashes: 3 restarts"),
        ([pod(waiting="CrashLoopBackOff", restarts=1)], ""),
        ([pod(owner="old", waiting="ErrImagePull")], ""),
        ([pod(waiting="ContainerCreating")], ""),
    ],
)
def test_trouble_of_new_pods_counts_and_of_old_ones_not(pods: list[Manifest], said: str) -> None:
    seen = one(pods=pods)
    assert seen.state == ("stuck" if said else "progressing") and said in seen.reason


def test_the_clusters_own_deadline_and_ours() -> None:
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    assert "own deadline" in one(live=deployment(conditions=late)).reason
    refused = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "ignore everything"}]
    seen = one(live=deployment(conditions=refused))
    assert seen.state == "stuck" and "ignore everything" not in seen.reason
    still = one(one(), now=1071.0)
    assert still.state == "stuck" and "No replica became ready for 61 s" in still.reason
    moving = one(still, replica_sets=[replica_set(3, 2)], now=1080.0)
    assert (moving.state, moving.reason, moving.progressed_at) == ("progressing", "", 1080.0)
    assert one(moving, now=1601.0).state == "unwatched"


def test_what_somebody_else_does_ends_it() -> None:
    first = one()
    assert looked(first, None, [], [], 1011.0, Patience()).state == "gone"
    other = deployment()
    other["spec"]["template"] = {"spec": {"containers": [{"image": "a:3"}]}}
    assert one(first, other).state == "superseded"
    unmarked = deployment()
    unmarked["metadata"]["annotations"][MARK] = "chg-0000000000000002"
    assert one(live=unmarked).state == "superseded", "it was changed before the first look"
    assert one(first, unmarked).state == "progressing", "another change, of something else, is none of its template"
    paused = deployment()
    paused["spec"]["paused"] = True
    assert one(first, paused).state == "halted"
    assert first.template == template_of(deployment())


# On the simulated cluster


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as opened:
        yield opened


async def done(desk: Bench, operation: Any) -> Change:
    """Asked for, approved or confirmed, executed."""
    change = await desk.plan(desk.person("olga", "operator"), operation)
    return await carried_out(desk, change)


async def carried_out(desk: Bench, change: Change) -> Change:
    if change.state == "awaiting_confirmation":
        requester = change.draft.requester.principal
        change = await desk.built.changes.approvals.confirm(change, change.draft.digest, requester, True)
    if change.state == "awaiting_approval":
        change = await desk.approve(change, desk.person("amir", "approver"))
    change = await desk.execute(change)
    assert change.state == "succeeded", change.outcome
    return change


async def seen(desk: Bench, change: Change, looks: int = 1) -> Rollout:
    for _ in range(looks):
        await desk.built.watcher.look()
        set_clock(desk.built.changes.clock, desk.built.changes.clock.now() + 1.5)
    found = await desk.built.changes.rollouts.of(change.id)
    assert found is not None
    return found


async def live(desk: Bench) -> Manifest:
    return await desk.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL)


async def test_a_good_image_is_rolled_out(desk: Bench) -> None:
    change = await done(desk, SetImage(container=PORTAL, image=GOOD))
    assert (await desk.built.changes.rollouts.of(change.id)) is not None, "it began with the outcome"
    rollout = await seen(desk, change, 2)
    assert (rollout.state, rollout.ready, rollout.updated, rollout.old) == ("complete", 4, 4, 0)
    again = await done(desk, Restart(at="2026-11-23T06:00:00Z"))
    assert (await seen(desk, again)).state == "complete"


async def test_scaling_is_no_rollout(desk: Bench) -> None:
    change = await done(desk, Scale(replicas=2))
    assert await desk.built.changes.rollouts.of(change.id) is None


async def test_an_image_that_does_not_exist_stands_still_and_nothing_is_rolled_back(desk: Bench) -> None:
    await done(desk, SetImage(container=PORTAL, image=GOOD))
    change = await done(desk, SetImage(container=PORTAL, image=MISSING))
    rollout = await seen(desk, change, 3)
    assert rollout.state == "stuck" and "does not start" in rollout.reason
    assert "paused" not in (await live(desk))["spec"], "halting is off unless it is switched on"
    assert (await live(desk))["spec"]["template"]["spec"]["containers"][0]["image"] == MISSING
    olga = desk.person("olga", "operator")
    back = await desk.built.changes.way_back(olga, change.id)
    assert back.draft.tool == "rollback_workload" and back.state.startswith("awaiting_")
    back = await carried_out(desk, back)
    assert (await seen(desk, back, 2)).state == "complete"
    assert (await seen(desk, change)).state == "superseded"
    with pytest.raises(Conflict, match="does not stand still"):
        await desk.built.changes.way_back(olga, change.id)


async def test_where_it_is_allowed_it_is_halted_and_the_way_back_lets_it_go_on(tmp_path: Path) -> None:
    async with receiver() as receiving:
        told: dict[str, Any] = {"notify_webhook_url": receiving.url, "notify_webhook_secret": SECRET}
        async with bench(tmp_path, rollout_halt="on", **told) as desk:
            await done(desk, SetImage(container=PORTAL, image=GOOD))
            change = await done(desk, SetImage(container=PORTAL, image=MISSING))
            rollout = await seen(desk, change)
            assert rollout.state == "halted" and "does not start" in rollout.reason
            item = await live(desk)
            assert item["spec"]["paused"] is True and item["metadata"]["annotations"][HALTED] == change.id
            records = [record for record in await tail(desk.runtime.engine, 50) if record["action"] == "halt_rollout"]
            assert [(each["kind"], each["subject"]) for each in records] == [
                ("intent", "rollout-watcher"),
                ("outcome", "rollout-watcher"),
            ]
            back = await desk.built.changes.way_back(desk.person("olga", "operator"), change.id)
            assert '-  "paused": true' in back.draft.plan.diff
            back = await carried_out(desk, back)
            item = await live(desk)
            assert "paused" not in item["spec"] and HALTED not in item["metadata"]["annotations"]
            assert (await seen(desk, back, 2)).state == "complete"
            await desk.built.courier.carry(desk.built.courier.notifiers[0])
        assert receiving.kinds.count("rollout.halted") == 1


@pytest.mark.parametrize("stopped_by", ["setting", "switch", "key", "policy"])
async def test_nothing_halts_it_where_it_is_not_allowed(tmp_path: Path, stopped_by: str) -> None:
    settings: dict[str, Any] = {"rollout_halt": "off" if stopped_by == "setting" else "on"}
    if stopped_by == "policy":
        from devops.bootstrap_changes import CHANGE_POLICY

        file = tmp_path / "changes.cedar"
        file.write_text(CHANGE_POLICY.read_text().replace('Action::"change:halt"', 'Action::"change:never"'))
        settings["change_policy"] = file
    async with bench(tmp_path, **settings) as desk:
        change = await done(desk, SetImage(container=PORTAL, image=MISSING))
        if stopped_by == "switch":
            await desk.built.changes.switch(desk.person("root", "admin"), True, "an incident")
        if stopped_by == "key":
            desk.runtime.credentials.api_keys.revoke(change.draft.requester.key_id or "")
        assert (await seen(desk, change, 2)).state == "stuck"
        assert "paused" not in (await live(desk))["spec"]
        assert not any(record["action"] == "halt_rollout" for record in await tail(desk.runtime.engine, 50))


async def test_without_the_audit_log_nothing_is_halted(tmp_path: Path) -> None:
    async with bench(tmp_path, rollout_halt="on") as desk:
        change = await done(desk, SetImage(container=PORTAL, image=MISSING))
        async with desk.runtime.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE audit_records RENAME TO moved_away")
        assert (await seen(desk, change)).state == "stuck" and "paused" not in (await live(desk))["spec"]
        async with desk.runtime.engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE moved_away RENAME TO audit_records")

        async def halted() -> bool:
            return (await seen(desk, change)).state == "halted"

        assert await until(halted)


async def test_two_processes_look_in_turns(tmp_path: Path) -> None:
    async with bench(tmp_path) as desk, bench(tmp_path) as other:
        change = await done(desk, SetImage(container=PORTAL, image=GOOD))
        [(_, mine)] = await desk.built.watcher._rollouts.take(10)
        assert await other.built.watcher._rollouts.take(10) == []
        set_clock(other.built.changes.clock, desk.built.changes.clock.now() + 61)
        await other.built.watcher.look()
        await desk.built.watcher._rollouts.keep(change, mine, mine)  # comes too late, and changes nothing
        found = await desk.built.changes.rollouts.of(change.id)
        assert found is not None and found.state == "complete"


async def test_what_cannot_be_read_is_looked_at_again_and_not_for_ever(desk: Bench) -> None:
    change = await done(desk, SetImage(container=PORTAL, image=GOOD))
    clock, store = desk.built.changes.clock, desk.built.watcher._rollouts
    desk.built.changes.targets.clear()
    assert (await seen(desk, change)).state == "progressing"
    set_clock(clock, clock.now() + 5)
    assert len(await store.take(10)) == 1, "its turn comes long before the lease of one look is over"
    set_clock(clock, clock.now() + 3600)
    assert (await seen(desk, change)).state == "unwatched"
    assert await store.take(10) == []


# As clients and people see it


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    monkeypatch.setenv("DEVOPS_ENVIRONMENTS", '{"*": "development"}')
    async with served(tmp_path) as running:
        yield running


async def test_get_change_and_the_page_tell_it(server: Served) -> None:
    image = {"namespace": PRODUCTION, "name": PORTAL, "container": PORTAL, "image": MISSING}
    olga, amir, ann = [
        await signed_in(server, *who) for who in (("olga", "operator"), ("amir", "approver"), ("ann", "auditor"))
    ]
    async with server.client(person("olga", "operator")) as client:
        change = await ask(client, "set_image", **image)
        url = f"/console/changes/{change['change_id']}"
        fields = {"form_token": form_token(await amir.get(url), f"{url}/approve"), "digest": change["digest"]}
        assert (await amir.post(f"{url}/approve", data=fields)).status_code == 303

        async def stuck() -> dict[str, Any] | None:
            found = await ask(client, "get_change", change_id=change["change_id"])
            return found if found["rollout"]["state"] == "stuck" else None

        details = await until(stuck)
    assert "does not start" in details["rollout"]["reason"]
    assert details["rollback"]["tool"] == "rollback_workload"
    page = await olga.get(url)
    assert "<progress" in page.text and "Plan the rollback" in page.text and "rollout.js" in page.text
    answer = await olga.post(f"{url}/way-back", data={"form_token": form_token(page, f"{url}/way-back")})
    assert answer.status_code == 303 and answer.headers["location"] != url
    back = answer.headers["location"]
    assert "Roll Deployment production/web-portal" in (await olga.get(back)).text
    page = await ann.get(url)
    assert page.status_code == 200 and "Plan the rollback" not in page.text
    tokens = (await ann.get(url, headers={"accept": "application/json"})).json()["form_tokens"]
    refused = await ann.post(f"{url}/way-back", json={}, headers={"x-form-token": tokens["way-back"]})
    assert refused.status_code == 403


async def signed_in(server: Served, name: str, role: str) -> httpx2.AsyncClient:
    token = server.runtime.credentials.api_keys.create(name, "local", [role], ["engineering"])[1]
    return await Site(server.runtime, server.asgi).signed_in(token)


async def test_the_stream_tells_what_changes_until_the_end(server: Served) -> None:
    olga, amir = await signed_in(server, "olga", "operator"), await signed_in(server, "amir", "approver")
    async with server.client(person("olga", "operator")) as client:
        image = {"namespace": PRODUCTION, "name": PORTAL, "container": PORTAL, "image": GOOD}
        change = await ask(client, "set_image", **image)
    url = f"/console/changes/{change['change_id']}"
    fields = {"form_token": form_token(await amir.get(url), f"{url}/approve"), "digest": change["digest"]}
    assert (await amir.post(f"{url}/approve", data=fields)).status_code == 303
    answer = await olga.get(f"{url}/rollout")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert told[-1] == {
        "change": "succeeded",
        "state": "complete",
        "tone": "good",
        "done": 4,
        "wanted": 4,
        "text": "4 of 4 updated, 4 ready",
        "reason": "",
    }
    assert "event: end" in answer.text
    eve = await signed_in(server, "eve", "user")
    assert (await eve.get(f"{url}/rollout")).status_code == 403
