"""Break-glass over the real application: what two people can do with it, and what nobody can.

Attacks between the second yes and the execution are those of every yes: test_changes_adversarial.py.
"""

import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from common.errors import Conflict
from common.security.audit import tail
from devops.bootstrap_changes import CHANGE_POLICY
from devops.changes import glass
from devops.changes.glass import GlassRules
from tests.support.attacked import PLACES, always
from tests.support.breaking_glass import AMIR, FREEZE, OLGA, WHY, YES, Scene, address, person, scene
from tests.support.changing import bench, set_clock
from tests.support.cloud import Account
from tests.support.operations import ask


@pytest.fixture(params=["cluster", pytest.param("account", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> Account | None:
    """Each test is run once for each of them."""
    found: Account | None = request.getfixturevalue("account") if request.param == "account" else None
    return found


@pytest.fixture
async def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Account | None) -> AsyncIterator[Scene]:
    async with scene(tmp_path, monkeypatch, place) as opened:
        yield opened


# What it is for


@pytest.mark.parametrize("place", PLACES, indirect=True)
async def test_two_people_do_in_a_freeze_what_cannot_wait(frozen: Scene) -> None:
    change = await frozen.plan()
    assert change["state"] == "awaiting_approval"
    assert any("only by break-glass: production is frozen" in reason for reason in change["plan"]["risk_reasons"])
    olga, amir = await frozen.signed_in(OLGA), await frozen.signed_in(AMIR)
    status, answer = await frozen.post(amir, change, "approve", digest=change["digest"])
    assert (status, answer["code"]) == (403, "denied") and "frozen" in answer["error"]
    with structlog.testing.capture_logs() as logged:
        asked = await frozen.asked(olga, change)
        assert await frozen.replicas() == 4, "one person alone changes nothing"
        other = await frozen.signed_in(person("ann", "auditor"))
        for page in ("/console", "/console/changes", "/console/audit"):
            shown = (await other.get(page)).text
            assert 'class="alarm"' in shown and WHY in shown, page
        status, answer = await frozen.agree(amir, change, asked)
    assert (status, answer["state"]) == (200, "succeeded")
    assert await frozen.replicas() == 0
    assert {"break_glass.asked", "break_glass.opened"} <= {each["event"] for each in logged}
    assert all(each["log_level"] == "warning" for each in logged if each["event"].startswith("break_glass."))
    records = await tail(frozen.server.runtime.engine, 50)
    steps = [(each["kind"], each["action"], each["subject"]) for each in records]
    for kind in ("intent", "outcome"):
        assert (kind, "break_glass_ask", "olga") in steps and (kind, "break_glass_open", "amir") in steps
    [executed] = [each for each in records if each["action"] == "execute_change" and each["kind"] == "intent"]
    assert json.dumps(asked) in json.dumps(executed["detail"])
    metrics = (await frozen.server.runtime.metrics.own()).decode()
    for step in ("asked", "opened"):
        assert f'triptych_break_glass_total{{server="devops",step="{step}"}} 1.0' in metrics
    history = (await other.get("/console/break-glass")).text
    assert all(text in history for text in ("olga", "amir", WHY, YES, "used", change["change_id"]))
    assert 'class="alarm"' not in (await other.get("/console")).text, "what was done is over"


async def test_it_stands_in_for_approvals_outside_of_a_freeze(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Account | None
) -> None:
    async with scene(tmp_path, monkeypatch, place, FREEZES="[]") as desk:
        change = await desk.plan()
        olga, second = await desk.signed_in(OLGA), await desk.signed_in(person("sam", "operator", "break-glass"))
        status, _ = await desk.post(second, change, "approve", digest=change["digest"])
        assert status == 403, "the second person is no approver"
        status, answer = await desk.agree(second, change, await desk.asked(olga, change))
        assert (status, answer["state"]) == (200, "succeeded")


async def test_the_forms_of_the_page_do_the_same(frozen: Scene) -> None:
    from tests.common.console.console_site import form_token

    change = await frozen.plan()
    url = address(change)
    olga, amir = await frozen.signed_in(OLGA), await frozen.signed_in(AMIR)
    page = await olga.get(url)
    fields = {"form_token": form_token(page, f"{url}/break-glass"), "digest": change["digest"], "reason": WHY}
    assert (await olga.post(f"{url}/break-glass", data=fields)).status_code == 303
    assert "break-glass-agree" not in (await olga.get(url)).text
    page = await amir.get(url)
    assert WHY in page.text
    asked = (await frozen.read(amir, change))["break_glass"]["break_glass"]
    fields = {"form_token": form_token(page, f"{url}/break-glass-agree"), "digest": change["digest"], "reason": YES}
    answer = await amir.post(f"{url}/break-glass-agree", data={**fields, "break_glass": asked})
    assert answer.status_code == 303
    assert (await frozen.read(amir, change))["state"] == "succeeded"


# Who may not


async def alone(frozen: Scene) -> None:
    """The same person once more: in the same session, with another key, under a name that looks the same."""
    change = await frozen.plan()
    olga = await frozen.signed_in(OLGA)
    asked = await frozen.asked(olga, change)
    for name in ("olga", "Olga", " olga ", "\uff4flga"):
        again = await frozen.signed_in(person(name, "operator", "approver", "admin", "break-glass"))
        for browser in (olga, again):
            status, answer = await frozen.agree(browser, change, asked)
            assert status == 403 and "alone" in answer["error"]
    assert (await frozen.read(olga, change))["state"] == "awaiting_approval"


async def test_nobody_breaks_the_glass_alone(frozen: Scene) -> None:
    await alone(frozen)
    assert await frozen.replicas() == 4


async def test_it_is_off_unless_it_is_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Account | None
) -> None:
    async with scene(tmp_path, monkeypatch, place, BREAK_GLASS="off", FREEZES="[]") as desk:
        change, olga = await desk.plan(), await desk.signed_in(OLGA)
        status, answer = await desk.post(olga, change, "break-glass", digest=change["digest"], reason=WHY)
        assert status == 403 and "off" in answer["error"]
        assert "Ask to break the glass" not in (await olga.get(address(change))).text
    async with scene(tmp_path, monkeypatch, place, BREAK_GLASS="off") as desk:
        with pytest.raises(Exception, match="frozen until 2099"):
            await desk.plan()


async def test_roles_decide(frozen: Scene) -> None:
    for who in (person("otto", "operator"), person("root", "admin")):
        with pytest.raises(Exception, match="frozen until 2099"):
            await frozen.plan(who)
    change = await frozen.plan()
    asked = await frozen.asked(await frozen.signed_in(OLGA), change)
    for who in (person("otto", "operator"), person("root", "admin", "approver"), person("ann", "auditor")):
        status, answer = await frozen.agree(await frozen.signed_in(who), change, asked)
        assert status == 403 and "roles" in answer["error"], who.subject
    sam = await frozen.signed_in(person("sam", "operator", "break-glass"))
    status, answer = await frozen.post(sam, change, "break-glass", digest=change["digest"], reason=WHY)
    assert status == 403 and "Only who asked" in answer["error"]


async def test_another_tenant_sees_nothing_of_it(frozen: Scene) -> None:
    change = await frozen.plan()
    olga = await frozen.signed_in(OLGA)
    asked = await frozen.asked(olga, change)
    eve = await frozen.signed_in(person("eve", "approver", "admin", "break-glass", tenant="marlow"))
    tokens = (await frozen.read(olga, change))["form_tokens"]
    for headers in ({}, {"x-form-token": tokens["break-glass-agree"]}):
        body = {"break_glass": asked, "digest": change["digest"], "reason": YES}
        answer = await eve.post(f"{address(change)}/break-glass-agree", json=body, headers=headers)
        assert answer.status_code == 403
    assert (await frozen.agree(eve, change, asked))[0] == 403
    for page in ("/console", "/console/break-glass", "/console/changes"):
        shown = (await eve.get(page)).text
        assert "alarm" not in shown and WHY not in shown, page


async def test_what_policy_denies_stays_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Account | None
) -> None:
    file, steps = tmp_path / "changes.cedar", ("allow", "confirm", "approve-1", "approve-2")
    tool = "update_service" if place else "scale_workload"
    actions = ", ".join(f'Action::"change:{step}"' for step in steps)
    when = f'when {{ resource.tool == "{tool}" }}'
    rule = f"forbid (principal, action in [{actions}], resource is Change) {when};"
    file.write_text(f"{CHANGE_POLICY.read_text()}\n{rule}")
    async with scene(tmp_path, monkeypatch, place, CHANGE_POLICY=str(file)) as desk:
        with pytest.raises(Exception, match="Policy does not let you"):
            await desk.plan()
        async with desk.server.client(OLGA) as client:
            with pytest.raises(Exception, match="kind"):
                await ask(client, "apply_manifest", manifest={"apiVersion": "v1", "kind": "Secret", "metadata": {}})


async def asker_is_revoked(frozen: Scene) -> None:
    """Between the two."""
    change = await frozen.plan()
    asked = await frozen.asked(await frozen.signed_in(OLGA), change)
    amir = await frozen.signed_in(AMIR)
    frozen.revoke("olga")
    status, answer = await frozen.agree(amir, change, asked)
    assert status == 403 and "Who asked" in answer["error"]


async def test_who_lost_the_right_in_between_does_not_count(frozen: Scene) -> None:
    await asker_is_revoked(frozen)
    assert await frozen.replicas() == 4


# What, and when


async def another_digest(frozen: Scene) -> None:
    first, second = await frozen.plan(), await frozen.plan(replicas=1)
    olga, amir = await frozen.signed_in(OLGA), await frozen.signed_in(AMIR)
    for digest in (second["digest"], "0" * 64, "", "ä"):
        assert (await frozen.post(olga, first, "break-glass", digest=digest, reason=WHY))[0] == 409
    asked, other = await frozen.asked(olga, first), await frozen.asked(olga, second)
    assert (await frozen.agree(amir, first, asked, digest=second["digest"]))[0] == 409
    assert (await frozen.agree(amir, first, other))[0] == 409
    assert (await frozen.agree(amir, first, ""))[0] == 409


async def test_a_yes_is_for_one_plan_and_one_question(frozen: Scene) -> None:
    await another_digest(frozen)
    assert await frozen.replicas() == 4


async def test_both_give_a_reason(frozen: Scene) -> None:
    change = await frozen.plan()
    olga, amir = await frozen.signed_in(OLGA), await frozen.signed_in(AMIR)
    for reason in ("", "   ", "urgent", " a  b  c ", "\u202e\u200b\x00\x1b" * 5):
        status, answer = await frozen.post(olga, change, "break-glass", digest=change["digest"], reason=reason)
        assert (status, answer["code"]) == (400, "invalid_input")
    asked = await frozen.asked(olga, change)
    for reason in ("", "ok"):
        assert (await frozen.agree(amir, change, asked, reason=reason))[0] == 400
    assert (await frozen.read(amir, change))["state"] == "awaiting_approval"


async def test_a_yes_is_used_once(frozen: Scene) -> None:
    change = await frozen.plan()
    olga, amir = await frozen.signed_in(OLGA), await frozen.signed_in(AMIR)
    asked = await frozen.asked(olga, change)
    assert (await frozen.post(olga, change, "break-glass", digest=change["digest"], reason=WHY))[0] == 409
    assert (await frozen.agree(amir, change, asked))[1]["state"] == "succeeded"
    assert (await frozen.agree(amir, change, asked))[0] == 409
    later = await frozen.plan(replicas=2)
    assert (await frozen.agree(amir, later, asked))[0] == 409
    assert await frozen.replicas() == 0


async def test_an_old_sign_in_breaks_no_glass(frozen: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    change = await frozen.plan()
    olga = await frozen.signed_in(OLGA)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 301)
    status, answer = await frozen.post(olga, change, "break-glass", digest=change["digest"], reason=WHY)
    assert (status, answer["code"]) == (401, "sign_in")


async def test_without_a_form_token_nothing_happens(frozen: Scene) -> None:
    change = await frozen.plan()
    olga = await frozen.signed_in(OLGA)
    body = {"digest": change["digest"], "reason": WHY}
    assert (await olga.post(f"{address(change)}/break-glass", json=body)).status_code == 403
    tokens = (await frozen.read(olga, change))["form_tokens"]
    wrong = {"x-form-token": tokens["approve"]}
    assert (await olga.post(f"{address(change)}/break-glass", json=body, headers=wrong)).status_code == 403
    assert (await frozen.read(olga, change))["break_glass"] is None


async def test_the_switch_stops_it_too(frozen: Scene) -> None:
    change = await frozen.plan()
    olga, amir = await frozen.signed_in(OLGA), await frozen.signed_in(AMIR)
    asked = await frozen.asked(olga, change)
    root = await frozen.signed_in(person("root", "admin"))
    from tests.common.console.console_site import form_token

    page = await root.get("/console/changes")
    fields = {"form_token": form_token(page, "/console/change-switch"), "to": "off", "reason": "an incident"}
    assert (await root.post("/console/change-switch", data=fields)).status_code == 303
    status, answer = await frozen.agree(amir, change, asked)
    assert status == 403 and "switched off by root" in answer["error"]


async def test_a_question_that_nobody_answered_in_time_is_over(tmp_path: Path) -> None:
    async with bench(tmp_path, freezes=FREEZE, break_glass="on") as desk:
        olga, amir = desk.person("olga", "operator", "break-glass"), desk.person("amir", "break-glass")
        breaking, clock = desk.built.changes.glass, desk.built.changes.clock
        change = await desk.plan(olga)
        digest = change.draft.digest
        first = await breaking.ask(change, digest, WHY, olga, clock.now())
        assert first.glass is not None
        set_clock(clock, first.glass.until + 1)
        with pytest.raises(Conflict, match="over"):
            await breaking.agree(first, first.glass.id, digest, YES, amir, clock.now())
        second = await breaking.ask(first, digest, WHY, olga, clock.now())
        assert second.glass is not None and second.glass.id != first.glass.id
        with pytest.raises(Conflict, match="not what was asked last"):
            await breaking.agree(second, first.glass.id, digest, YES, amir, clock.now())
        page, _ = await desk.built.changes.glasses(amir, 10)
        assert [each.id for _, each in page] == [second.glass.id, first.glass.id]


# Without one of the checks, an attack gets through


async def truly(*_: Any) -> bool:
    return True


SERVED: dict[str, tuple[Any, str, Any, Callable[[Scene], Awaitable[None]]]] = {
    "second person": (glass, "is_same_person", lambda one, other: one == other, alone),
    "digest and id": (hmac, "compare_digest", always(True), another_digest),
    "rights of who asked": (GlassRules, "asker_may", truly, asker_is_revoked),
}


@pytest.mark.parametrize("name", SERVED)
async def test_without_a_check_an_attack_gets_through(
    frozen: Scene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module, attribute, mutant, attack = SERVED[name]
    monkeypatch.setattr(module, attribute, mutant)
    with pytest.raises((AssertionError, KeyError)):
        await attack(frozen)
