"""Ways around the right yes, of clusters and AWS accounts, by approval and by break-glass. None gets through.

Without the check that stops it, one of these tests fails. What can be tried in one place only:
test_cluster_adversarial.py and ../cloud/test_cloud_adversarial.py.
"""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.errors import AppError, Conflict, Denied, NotFound
from common.security.audit import AuditUnavailable
from devops.changes import execution, observing
from devops.changes.approval import NotFresh
from devops.changes.change import Approval, Change
from devops.changes.clock import SteadyClock
from devops.changes.digest import draft_digest
from devops.changes.glass import GlassRules
from devops.changes.people import actor_of
from tests.support.attacked import WAYS, Desk, Opening, always, opening
from tests.support.changing import set_clock

SOMEBODY_ELSE = "Nobody (approves their own|breaks the glass alone)"
APPROVALS = pytest.mark.parametrize("way", [WAYS[0], WAYS[2]], indirect=True)
GLASSES = pytest.mark.parametrize("way", [WAYS[1], WAYS[3]], indirect=True)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Each test is run once for each of them."""
    place, _, yes = request.param.partition("-")
    return opening(tmp_path, request.getfixturevalue("account") if place == "account" else None, yes == "glass")


@pytest.fixture
async def desk(way: Opening) -> AsyncIterator[Desk]:
    async with way() as opened:
        yield opened


async def untouched(desk: Desk, change: Change) -> None:
    """Let everything run that would execute it; nothing is sent."""
    before, sent = [await desk.replicas(), await desk.replicas(desk.other)], desk.counted()
    for waiting in await desk.bench.built.store.approved(10):
        await desk.bench.built.executor.execute(waiting)
    await desk.bench.built.sweeper.sweep()
    assert sent == [] and [await desk.replicas(), await desk.replicas(desk.other)] == before
    assert (await desk.bench.again(change)).state != "succeeded"


# Who


async def own_yes(desk: Desk) -> None:
    """With another key, under a name that looks the same, and with the same key."""
    olga = desk.requester()
    change = await desk.plan(olga)
    for name in ("Olga", " olga ", "OLGA", "\uff4flga", "\u043elga", "olg\u03b1", "ol\u200bga", "olga\ufe0f", "olga"):
        with pytest.raises(Denied, match=SOMEBODY_ELSE):
            await desk.yes(change, desk.bench.person(name, "operator", desk.role))
    with pytest.raises(Denied, match=SOMEBODY_ELSE):
        await desk.yes(change, olga)
    await untouched(desk, change)


async def test_nobody_says_yes_to_their_own_change(desk: Desk) -> None:
    await own_yes(desk)


@APPROVALS
async def test_two_approvals_are_of_two_people(desk: Desk) -> None:
    change = await desk.plan(desk.requester())
    change = replace(change, draft=replace(change.draft, requirement=replace(change.draft.requirement, approvals=2)))
    store = desk.bench.built.store
    given = [Approval(actor_of(desk.second(name)), change.draft.digest, time.time()) for name in ("amir", "Amir")]
    assert (await store.approve(change, given[0], 2)).state == "awaiting_approval"
    with pytest.raises(Conflict, match="approved this change already"):
        await store.approve(change, given[1], 2)


async def test_only_the_role_in_the_same_tenant_counts(desk: Desk) -> None:
    change, person = await desk.plan(desk.requester()), desk.bench.person
    eve = person("eve", "operator", "approver", "break-glass", tenant="marlow")
    others = {"approver", "break-glass"} - {desk.role}
    for who in (person("ute", "user"), person("otto", "operator"), person("root", "admin", *others), eve):
        with pytest.raises(Denied):
            await desk.yes(change, who)
    with pytest.raises(NotFound):
        await desk.bench.built.changes.get(eve, change.id)
    assert not (await desk.bench.built.changes.page(eve, [], 10))[0]
    with pytest.raises(AppError):
        await desk.request(eve, 0)
    await untouched(desk, change)


async def lost_role(desk: Desk) -> None:
    """Of the second person, and of the requester, between the yes and the execution."""
    olga, amir = desk.requester(), desk.second()
    keys = desk.bench.runtime.credentials.api_keys
    for loser in (amir, olga):
        change = await desk.yes(await desk.plan(olga), amir)
        assert change.state == "approved" and loser.key_id
        with keys._editing() as stored:
            kept, stored[loser.key_id].roles = stored[loser.key_id].roles, ["user"]
        assert (await desk.bench.execute(change)).state == "rejected", loser.subject
        with keys._editing() as stored:
            stored[loser.key_id].roles = kept
    change = await desk.yes(await desk.plan(olga), amir)
    keys.revoke(amir.key_id or "")
    assert (await desk.bench.execute(change)).state == "rejected"
    assert await desk.replicas() == 4


async def test_a_role_lost_between_yes_and_execution_counts(desk: Desk) -> None:
    await lost_role(desk)


# What


async def stale_digest(desk: Desk) -> None:
    olga, amir = desk.requester(), desk.second()
    first, second = await desk.plan(olga, 1), await desk.plan(olga)
    for digest in (first.draft.digest, "0" * 64, "", "ä"):
        with pytest.raises(Conflict, match="not the one"):
            await desk.yes(second, amir, digest)
    await untouched(desk, second)


async def rewritten(desk: Desk, place: str, value: int | str) -> None:
    """Somebody rewrites a change in the database that has everybody's yes."""
    change = await desk.agreed(replicas=1)
    async with desk.bench.built.engine.begin() as connection:
        rewrite = "UPDATE changes SET draft = json_set(draft, ?, ?) WHERE id = ?"
        await connection.exec_driver_sql(rewrite, (place, value, change.id))
    await untouched(desk, change)
    assert (await desk.bench.again(change)).state in ("rejected", "drifted")


async def changed_arguments(desk: Desk) -> None:
    await rewritten(desk, desk.count, 0)


async def test_a_yes_names_the_digest(desk: Desk) -> None:
    await stale_digest(desk)


async def test_arguments_cannot_be_changed_after_the_yes(desk: Desk) -> None:
    await changed_arguments(desk)


async def test_the_target_cannot_be_changed_after_the_yes(desk: Desk) -> None:
    await rewritten(desk, "$.target.name", desk.other)


async def test_every_part_of_a_plan_is_in_the_digest(desk: Desk) -> None:
    draft = (await desk.plan(desk.requester())).draft
    others = {
        "tool": "x",
        "target": replace(draft.target, name="x"),
        "operation": {"replicas": 9},
        "environment": "x",
        "risk": "low",
        "requirement": replace(draft.requirement, policy_version="x"),
        "plan": replace(draft.plan, diff="x"),
        "uid": "x",
        "resource_version": "x",
        "fingerprint": "x",
        "write": "x",
        "expires_at": 0.0,
    }
    for field, value in others.items():
        assert draft_digest(replace(draft, **{field: value})) != draft.digest, field  # type: ignore[arg-type]


async def test_a_yes_is_used_once(desk: Desk) -> None:
    olga, amir = desk.requester(), desk.second()
    other = await desk.plan(olga, 1)
    change, sent = await desk.yes(await desk.plan(olga), amir), desk.counted()
    done = await desk.bench.execute(change)
    assert done.state == "succeeded" and len(sent) == 1
    await desk.meddle(4)
    await desk.bench.execute(change)  # as a process that still has the old list would
    with pytest.raises(Conflict, match="succeeded"):
        await desk.yes(done, amir)
    with pytest.raises(Conflict, match="not the one"):
        await desk.yes(other, amir, change.draft.digest)
    assert len(sent) == 1 and await desk.replicas() == 4


async def test_the_state_alone_is_no_yes(desk: Desk) -> None:
    change = await desk.plan(desk.requester())
    async with desk.bench.built.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE changes SET state = 'approved' WHERE id = ?", (change.id,))
    await untouched(desk, change)


# When


async def test_of_many_yeses_and_executions_one_counts(way: Opening) -> None:
    """In two processes with one database."""
    async with AsyncExitStack() as stack:
        desks = [await stack.enter_async_context(way()) for _ in range(2)]
        [desk, other], many = desks, 40
        change = await desk.plan(desk.requester())
        change = await desk.asked(change) if desk.glass else change
        people = [desk.second(f"second-{number}") for number in range(many)]
        given = await asyncio.gather(
            *(desks[number % 2].yes(change, who) for number, who in enumerate(people)), return_exceptions=True
        )
        assert sum(isinstance(each, Change) for each in given) == 1
        assert all(isinstance(each, Change | Conflict) for each in given)
        approved, sent = await desk.bench.again(change), desk.counted()
        elsewhere = other.counted()
        await asyncio.gather(*(desks[number % 2].bench.built.executor.execute(approved) for number in range(many)))
        assert len(sent + elsewhere) == 1
        states = [entry.state for entry in await desk.bench.built.store.journal(change.id)]
        assert states.count("executing") == states.count("succeeded") == 1


async def change_in_the_last_moment(desk: Desk) -> None:
    """Somebody changes the object after it was looked at, and before it is written: only the precondition sees it."""
    change = await desk.agreed()
    claim = desk.bench.built.store.claim

    async def meddling(*args: Any) -> bool:
        await desk.meddle(2)
        return await claim(*args)

    desk.bench.built.store.claim = meddling  # type: ignore[assignment, method-assign]
    change = await desk.bench.execute(change)
    assert (change.state, await desk.replicas()) == ("drifted", 2)


async def test_a_change_of_the_object_is_drift(desk: Desk) -> None:
    change = await desk.agreed()
    await desk.meddle(2)
    assert (await desk.bench.execute(change)).state == "drifted" and await desk.replicas() == 2


async def test_a_change_in_the_last_moment_is_drift(desk: Desk) -> None:
    await change_in_the_last_moment(desk)


async def test_setting_the_clock_back_prolongs_nothing() -> None:
    wall = 1_000_000.0
    clock = SteadyClock(lambda: wall)
    before = clock.now()
    wall -= 86_400
    assert clock.now() >= before
    wall += 2 * 86_400
    assert clock.now() >= before + 86_399


async def test_another_process_is_followed_unless_its_clock_is_wrong() -> None:
    clock = SteadyClock(lambda: 1_000_000.0)
    clock.at_least(1_000_059.0)
    assert clock.now() >= 1_000_059.0
    with capture_logs() as logged:
        for _ in range(3):
            clock.at_least(1_003_600.0)
    assert clock.now() < 1_000_100.0
    assert [(each["event"], "NTP" in each["remedy"]) for each in logged] == [("changes.clocks_differ", True)]


async def test_a_clock_that_was_ahead_blocks_no_yes(way: Opening) -> None:
    async with way() as desk:
        clock = desk.bench.built.changes.clock
        set_clock(clock, time.time() + 7200)
        first, second = await desk.plan(desk.requester()), await desk.plan(desk.requester(), 1)
        set_clock(clock, time.time())
        assert (await desk.yes(first, desk.second())).state == "approved"
    async with way() as other:
        assert (await other.yes(second, other.second())).state == "approved"
        assert other.bench.built.changes.clock.now() < time.time() + 60


async def test_a_sign_in_of_another_time_is_not_fresh(desk: Desk) -> None:
    change, now = await desk.plan(desk.requester()), desk.bench.built.changes.clock.now()
    for signed_in_at in (now - 301, now - 86_400, now + 60, 0.0):
        with pytest.raises(NotFresh):
            await desk.yes(change, desk.second(), signed_in_at=signed_in_at)


async def test_the_switch_stops_what_has_every_yes(desk: Desk) -> None:
    waiting, approved = await desk.plan(desk.requester(), 1), await desk.agreed()
    await desk.bench.built.changes.switch(desk.bench.person("root", "admin"), True, "an incident")
    with pytest.raises(Denied, match="switched off"):
        await desk.yes(waiting, desk.second())
    with pytest.raises(Denied, match="switched off"):
        await desk.request(desk.requester(), 2)
    await untouched(desk, approved)


async def test_without_the_audit_log_nothing_is_done(desk: Desk) -> None:
    waiting, approved = await desk.plan(desk.requester(), 1), await desk.agreed()
    async with desk.bench.runtime.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE audit_records RENAME TO moved_away")
    with pytest.raises(AuditUnavailable):
        await desk.yes(waiting, desk.second())
    with pytest.raises(AuditUnavailable):
        await desk.bench.built.executor.execute(approved)
    assert (await desk.bench.again(waiting)).state == "awaiting_approval"
    assert (await desk.bench.again(approved)).state == "approved" and await desk.replicas() == 4
    async with desk.bench.runtime.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE moved_away RENAME TO audit_records")


# What break-glass has besides: its end, and two people in its own row


async def too_late(desk: Desk) -> None:
    change = await desk.agreed()
    assert change.glass is not None and change.glass.until - change.glass.asked_at <= 15 * 60
    set_clock(desk.bench.built.changes.clock, change.glass.until + 1)
    late = desk.bench.built.changes.clock.now()
    assert not await desk.bench.built.store.claim(change, "x", late + 60, late)
    assert (await desk.bench.execute(change)).state == "expired"


@GLASSES
async def test_after_its_minutes_it_is_over(desk: Desk) -> None:
    await too_late(desk)
    swept = await desk.agreed()
    assert swept.glass is not None
    set_clock(desk.bench.built.changes.clock, swept.glass.until + 1)
    await desk.bench.built.sweeper.sweep()
    swept = await desk.bench.again(swept)
    assert swept.state == "expired" and "break-glass was over" in (swept.outcome or "")
    assert await desk.replicas() == 4


@GLASSES
async def test_a_row_of_one_person_in_the_database_is_no_break_glass(desk: Desk) -> None:
    change = await desk.agreed()
    async with desk.bench.built.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE change_glasses SET second = asker")
    change = await desk.bench.again(change)
    assert (await desk.bench.execute(change)).state == "rejected" and await desk.replicas() == 4


# Without one of the checks, one of the attacks gets through: so the attacks test something.

Attack = Callable[[Desk], Awaitable[None]]


async def truly(*_: Any) -> bool:
    return True


async def succeeds(desk: Desk, attack: Attack) -> None:
    """What is refused no more, or what is done that must not be."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await attack(desk)


async def test_without_the_second_person_an_attack_gets_through(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*desk.second_person)
    await succeeds(desk, own_yes)


async def test_without_the_digest_of_the_yes_an_attack_gets_through(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hmac, "compare_digest", always(True))
    await succeeds(desk, stale_digest)


async def test_without_both_digests_arguments_can_be_changed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either one alone stops it: the digest of the stored plan, or that of what is sent."""
    monkeypatch.setattr(execution, "is_intact", always(True))
    monkeypatch.setattr(observing.Write, "digest", always("same"))
    await succeeds(desk, changed_arguments)


async def test_without_the_precondition_a_change_of_the_last_moment_is_overwritten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*desk.precondition)
    await succeeds(desk, change_in_the_last_moment)


@GLASSES
async def test_without_the_look_before_the_execution_a_lost_role_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GlassRules, "holds", truly)
    await succeeds(desk, lost_role)


@GLASSES
async def test_without_its_end_it_would_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is looked at before the execution, and in the claim itself."""
    monkeypatch.setattr("devops.changes.change.Glass.is_over", always(False))
    await succeeds(desk, too_late)
