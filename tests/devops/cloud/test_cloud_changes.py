"""Changes of AWS accounts from the wish to the outcome, and after a crash at every boundary."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import Conflict, Denied, InvalidInput, NotFound, RateLimited
from common.security.audit import tail
from devops.changes.change import Change
from devops.changes.cloud_operations import RebootInstance, StartInstance, StopInstance
from devops.changes.operations import Operation
from tests.support.changing import set_clock
from tests.support.cloud import Account
from tests.support.cloud_changes import CloudDesk, cloud_desk
from tests.support.operations import Served, ask, person, served

REBOOT = RebootInstance(at="2026-11-23T06:00:00Z")


@pytest.fixture
async def desk(tmp_path: Path, account: Account) -> AsyncIterator[CloudDesk]:
    async with cloud_desk(tmp_path, account) as opened:
        yield opened


async def test_from_the_plan_to_the_outcome(desk: CloudDesk) -> None:
    instance = desk.account.instance("web-1")
    change = await desk.plan(desk.bench.person("olga", "operator"), instance)
    draft = change.draft
    assert (change.state, draft.risk, draft.environment) == ("awaiting_approval", "medium", "production")
    assert draft.plan.summary == f"Stop EC2Instance eu-west-1/{instance} on shop-prod"
    assert '-  "state": "running"' in draft.plan.diff and '+  "state": "stopped"' in draft.plan.diff
    assert 'Its Name tag is "web-1".' in draft.plan.blast.notes
    assert desk.account.state(instance) == "running"  # the dry run changed nothing
    change = await desk.carried_out(change)
    assert (change.state, desk.account.state(instance)) == ("succeeded", "stopped")
    assert change.outcome == "AWS has accepted it, and shows: the instance is stopped."
    assert draft.plan.undo == {"tool": "start_instance", "arguments": {"account": "shop-prod", "instance": instance}}
    states = [entry.state for entry in await desk.bench.built.store.journal(change.id)]
    assert states == ["planned", "awaiting_approval", "approved", "executing", "succeeded"]
    records = await tail(desk.bench.runtime.engine, 20)
    assert ("outcome", "execute_change", "olga", "succeeded") in [
        (record["kind"], record["action"], record["subject"], record["outcome"]) for record in records
    ]


async def test_each_operation_does_what_its_plan_says(desk: CloudDesk) -> None:
    olga, instance = desk.bench.person("olga", "operator"), desk.account.instance()
    assert (await desk.carried_out(await desk.plan(olga, instance, REBOOT))).state == "succeeded"
    assert (await desk.carried_out(await desk.plan(olga, instance))).state == "succeeded"
    started = await desk.plan(olga, instance, StartInstance())
    assert started.draft.risk == "low" and started.state == "awaiting_confirmation"
    assert (await desk.carried_out(started)).state == "succeeded" and desk.account.state(instance) == "running"
    desk.account.service()
    change = await desk.update(olga, desired_count=6, task_definition="web:2")
    assert "no dry run" in change.draft.plan.blast.notes[0] and change.draft.risk == "medium"
    assert '"image": "registry.example/web:2"' in change.draft.plan.diff
    done = await desk.carried_out(change)
    assert done.state == "succeeded" and desk.account.desired() == (6, "web:2")
    assert "6 tasks run, task definition web:2" in (done.outcome or "")
    undo = change.draft.plan.undo
    assert undo and undo["arguments"]["desired_count"] == 4 and undo["arguments"]["task_definition"] == "web:1"
    assert (await desk.carried_out(await desk.update(olga, redeployed_at="now"))).state == "succeeded"


async def test_what_cannot_be_done_is_said_before_anybody_is_asked(desk: CloudDesk) -> None:
    olga, instance = desk.bench.person("olga", "operator"), desk.account.instance()
    desk.account.service()
    with pytest.raises(Conflict, match="is running, not stopped"):
        await desk.plan(olga, instance, StartInstance())
    with pytest.raises(NotFound, match="There is no EC2Instance"):
        await desk.plan(olga, "i-0123456789abcdef0")
    with pytest.raises(NotFound, match="There is no ECSService shop/nothing"):
        await desk.update(olga, "nothing", desired_count=1)
    with pytest.raises(NotFound, match="no task definition web:9"):
        await desk.update(olga, task_definition="web:9")
    with pytest.raises(Conflict, match="Nothing would change"):
        await desk.update(olga, desired_count=4)


async def test_risk_follows_what_can_go_wrong(desk: CloudDesk) -> None:
    olga = desk.bench.person("olga", "operator")
    desk.account.service()
    assert (await desk.update(olga, desired_count=9)).draft.risk == "low"
    assert (await desk.update(olga, desired_count=1)).draft.risk == "medium"
    assert (await desk.update(olga, desired_count=0)).draft.risk == "high"


async def test_environments_of_an_account_are_named_with_it(tmp_path: Path, account: Account) -> None:
    patterns = {"eu-*": "development", "shop-prod/nowhere": "development"}
    async with cloud_desk(tmp_path / "a", account, environments=patterns) as desk:
        change = await desk.plan(desk.bench.person("olga", "operator"), account.instance())
        assert change.draft.environment == "production"
    async with cloud_desk(tmp_path / "b", account, environments={"shop-prod/*": "development"}) as desk:
        change = await desk.plan(desk.bench.person("olga", "operator"), account.instance())
        assert (change.draft.environment, change.state) == ("development", "awaiting_confirmation")


async def test_the_switch_freezes_and_the_hour_count_for_aws_too(tmp_path: Path, account: Account) -> None:
    instance = account.instance()
    frozen = [{"environment": "*", "start": "2020-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"}]
    async with cloud_desk(tmp_path / "a", account, freezes=frozen) as desk:
        with pytest.raises(Denied, match="frozen until 2099"):
            await desk.plan(desk.bench.person("root", "admin"), instance)
    async with cloud_desk(tmp_path / "b", account) as desk:
        olga, amir = desk.bench.person("olga", "operator"), desk.bench.person("amir", "approver")
        approved = await desk.bench.approve(await desk.plan(olga, instance), amir)
        await desk.bench.built.changes.switch(desk.bench.person("root", "admin"), True, "an incident")
        with pytest.raises(Denied, match="switched off"):
            await desk.plan(olga, instance)
        assert (await desk.bench.execute(approved)).state == "approved" and account.state(instance) == "running"
        await desk.bench.built.changes.switch(desk.bench.person("root", "admin"), False, "")
        desk.bench.built.changes.planner._limits = type(desk.bench.built.changes.planner._limits)(3600, 1)
        with pytest.raises(RateLimited, match="within an hour"):
            await desk.plan(olga, instance)


async def test_tools_plan_and_the_console_shows(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**account.environment(), "DEVOPS_MODE": "read-write"}.items():
        monkeypatch.setenv(name, value)
    instance = account.instance("web-1")
    account.service()
    async with served(tmp_path) as server, server.client(person("olga", "operator")) as olga:
        change = await ask(olga, "stop_instance", instance=instance)
        assert change["state"] == "awaiting_approval" and change["cluster"] == "shop-prod"
        assert change["target"] == f"EC2Instance eu-west-1/{instance}"
        assert 'Its Name tag is "web-1".' in change["plan"]["reach"]["notes"]
        details = await ask(olga, "get_change", change_id=change["change_id"])
        assert details["live"]["resourceVersion"]
        updated = await ask(olga, "update_service", ecs_cluster="shop", service="web", desired_count=0)
        assert updated["risk"] == "high" and "no dry run" in updated["plan"]["reach"]["notes"][0]
        with pytest.raises(Exception, match="Nothing is to be changed"):
            await ask(olga, "update_service", ecs_cluster="shop", service="web")
        for tool in ("start_instance", "reboot_instance"):
            wanted = {"start_instance": "is running, not stopped", "reboot_instance": None}[tool]
            if wanted:
                with pytest.raises(Exception, match=wanted):
                    await ask(olga, tool, instance=instance)
            else:
                assert (await ask(olga, tool, instance=instance))["state"] == "awaiting_approval"
        await _in_the_console(server, change)


async def _in_the_console(server: Served, change: dict[str, Any]) -> None:
    from tests.common.console.console_site import Site, form_token

    amir = person("amir", "approver")
    rights = (sorted(amir.roles), sorted(amir.groups), amir.clearance)
    token = server.runtime.credentials.api_keys.create(amir.subject, amir.tenant, *rights)[1]
    browser = await Site(server.runtime, server.asgi).signed_in(token)
    url = f"/console/changes/{change['change_id']}"
    page = await browser.get(url)
    assert "Its Name tag is" in page.text and "pods" not in page.text
    headers = {"x-form-token": form_token(page, f"{url}/approve")}
    answer = await browser.post(f"{url}/approve", json={"digest": change["digest"]}, headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded"), answer.text
    assert "AWS has accepted it" in answer.json()["outcome"]


# Crashes


class Died(BaseException):
    """The process is gone: nothing of it happens any more."""


class Mortal:
    """Anything whose every asynchronous call is a place to die: just before it, and just after."""

    left = 0
    sent: list[str]

    def __init__(self, inner: Any, life: "type[Mortal]") -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(value):
            return value

        async def watched(*args: Any, **kwargs: Any) -> Any:
            self._tick()
            if name == "replace":
                self._life.sent.append(name)
            result = await value(*args, **kwargs)
            self._tick()
            return result

        return watched

    def _tick(self) -> None:
        self._life.left -= 1
        if self._life.left <= 0:
            raise Died


async def executed_until(desk: CloudDesk, change: Change, tick: int) -> bool:
    """Execute in a process that dies at this tick; False if it came to the end before."""

    class Life(Mortal):
        left = tick
        sent: list[str] = []

    executor: Any = desk.bench.built.executor
    store, targets, audit = executor._store, executor._targets, executor._records._audit
    executor._store = Mortal(store, Life)
    executor._targets = {name: Mortal(each, Life) for name, each in targets.items()}
    executor._records._audit = Mortal(audit, Life)
    try:
        await executor.execute(change)
        died = False
    except Died:
        died = True
    finally:
        executor._store, executor._targets, executor._records._audit = store, targets, audit
    assert len(Life.sent) <= 1
    return died


@pytest.mark.parametrize("operation", [StopInstance(), REBOOT], ids=lambda each: each.tool)
async def test_a_crash_at_every_boundary_is_found_out_by_looking(desk: CloudDesk, operation: Operation) -> None:
    olga, amir = desk.bench.person("olga", "operator"), desk.bench.person("amir", "approver")
    ends: list[str] = []
    instance = desk.account.instance()
    built, is_stop = desk.bench.built, isinstance(operation, StopInstance)
    for tick in range(1, 60):
        change = await desk.bench.approve(await desk.plan(olga, instance, operation), amir)
        died = await executed_until(desk, change, tick)
        was = await desk.bench.again(change)
        if was.state == "executing":
            # Only the lease of this change runs out.
            async with built.engine.begin() as connection:
                await connection.exec_driver_sql("UPDATE changes SET lease_until = 0 WHERE id = ?", (change.id,))
            await built.sweeper.sweep()
        ended = await desk.bench.again(change)
        if is_stop:
            is_stopped = desk.account.state(instance) == "stopped"
            assert is_stopped == (ended.state == "succeeded"), (tick, ended)
            if is_stopped:
                desk.account.turn(instance, "start")
        ends.append(ended.state)
        if ended.state == "approved":
            await built.changes.cancel(olga, change.id)
        if not died:
            break
    else:
        pytest.fail("it never came to the end")
    assert ends[-1] == "succeeded" and "approved" in ends
    # Of a reboot nothing can be seen, so nobody claims to know.
    assert ("failed" if is_stop else "unknown") in ends
    assert set(ends) <= {"approved", "succeeded", "failed" if is_stop else "unknown"}


async def test_an_answer_that_is_lost_is_found_out_and_nothing_is_sent_again(
    desk: CloudDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from devops.adapters.aws_target import AwsTarget

    desk.account.service()
    sent: list[str] = []
    replace = AwsTarget.replace

    async def lost(self: AwsTarget, item: Any, dry_run: bool) -> Any:
        sent.append(item["metadata"]["name"])
        await replace(self, item, dry_run)
        raise ConnectionError

    olga = desk.bench.person("olga", "operator")
    change = await desk.update(olga, desired_count=9)
    change = await desk.bench.built.changes.approvals.confirm(change, change.draft.digest, olga, True)
    monkeypatch.setattr(AwsTarget, "replace", lost)
    change = await desk.bench.execute(change)
    assert change.state == "executing" and desk.account.desired()[0] == 9
    set_clock(desk.bench.built.changes.clock, (change.lease_until or 0) + 1)
    await desk.bench.built.sweeper.sweep()
    change = await desk.bench.again(change)
    assert change.state == "succeeded" and "It is as planned" in (change.outcome or "") and len(sent) == 1


async def test_what_became_something_else_meanwhile_is_not_known(desk: CloudDesk) -> None:
    """Claimed, and then nothing more is heard; somebody else has stopped and started the instance since."""
    olga, instance = desk.bench.person("olga", "operator"), desk.account.instance()
    change = await desk.bench.approve(await desk.plan(olga, instance), desk.bench.person("amir", "approver"))
    built, now = desk.bench.built, desk.bench.built.changes.clock.now()
    assert await built.store.claim(change, "a process that dies", now + 1, now)
    desk.account.client("ec2").modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t3.large"})
    set_clock(built.changes.clock, now + 2)
    await built.sweeper.sweep()
    assert (await desk.bench.again(change)).state == "unknown"


async def test_a_daemon_service_has_no_count() -> None:
    from devops.changes.cloud_operations import UpdateService

    with pytest.raises(InvalidInput, match="no desired count"):
        UpdateService(desired_count=1).edited({"spec": {"scheduling": "DAEMON", "replicas": 1}})
