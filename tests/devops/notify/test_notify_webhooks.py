"""Notices as signed webhooks, from the change to a receiver on a real port."""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from common.errors import SettingsError, Unavailable
from common.security.audit import tail
from common.security.webhook_signature import secret_bytes
from common.settings import CommonSettings
from devops.adapters.sql_notices import SqlOutbox, notices
from devops.adapters.webhook_notifier import WebhookNotifier
from devops.bootstrap_notify import build_notifiers, notify_kinds
from devops.cli import check_notifications
from devops.notify.courier import Gone
from devops.notify.notice import KINDS, Notice
from devops.settings import DevopsSettings
from tests.support.audit import until
from tests.support.breaking_glass import AMIR, OLGA, WHY, scene
from tests.support.changing import Bench, bench, set_clock
from tests.support.notified import SECRET, Receiver, receiver

ROOT = Path(__file__).parents[3]
NOTICE = Notice("ntc-1", "webhook", "change.waiting", 1_800_000_000.0, {"summary": "Scale it", "by": "olga"}, 1)


def own(receiving: Receiver) -> dict[str, Any]:
    return {"notify_webhook_url": receiving.url, "notify_webhook_secret": SECRET}


async def test_a_receiver_hears_of_every_step_and_verifies_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as receiving:
        more = {"NOTIFY_WEBHOOK_URL": receiving.url, "NOTIFY_WEBHOOK_SECRET": SECRET}
        async with scene(tmp_path, monkeypatch, **more) as desk:
            change = await desk.plan()
            olga, amir = await desk.signed_in(OLGA), await desk.signed_in(AMIR)
            status, answer = await desk.agree(amir, change, await desk.asked(olga, change))
            assert (status, answer["state"]) == (200, "succeeded")
            await until(lambda: len(receiving.taken) >= 4)
            metrics = (await desk.server.runtime.metrics.own()).decode()
            assert 'triptych_notices_total{channel="webhook",outcome="sent",server="devops"}' in metrics
            assert not any("notice" in str(record["action"]) for record in await tail(desk.server.runtime.engine, 50))
    assert sorted(receiving.kinds) == [
        "break_glass.asked",
        "break_glass.opened",
        "change.executed",
        "change.waiting",
    ]
    told = next(each for each in receiving.taken.values() if each["kind"] == "break_glass.asked")
    assert (told["change_id"], told["by"], told["reason"]) == (change["change_id"], "olga", WHY)


async def noticed(desk: Bench) -> list[Notice]:
    return list(await desk.built.courier._outbox.take("webhook", 100))


async def test_neither_manifests_nor_secrets_are_told(tmp_path: Path) -> None:
    async with receiver() as receiving, bench(tmp_path, **own(receiving)) as desk:
        olga, root = desk.person("olga", "operator"), desk.person("root", "admin")
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "note", "namespace": "production"},
            "data": {"text": "do not tell this", "password": "hunter2-hunter2"},
        }
        change = await desk.built.changes.apply(olga, None, manifest)
        await desk.approve(change, desk.person("amir", "approver"))
        await desk.built.changes.switch(root, True, "it is Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\nBcc: x")
        told = json.dumps([notice.as_json() for notice in await noticed(desk)])
    assert "change.waiting" in told and "change.approved" in told and "switch.off" in told
    assert not any(text in told for text in ("do not tell", "hunter2", "abcdefghij", "apiVersion", "\\r\\n"))


async def test_a_receiver_that_is_down_holds_nothing_up(tmp_path: Path) -> None:
    async with receiver() as receiving, bench(tmp_path, **own(receiving)) as desk:
        receiving.answers = [500] * 3 + [404, 302]
        change = await desk.approve(await desk.plan(desk.person("olga", "operator")), desk.person("amir", "approver"))
        assert (await desk.execute(change)).state == "succeeded"
        [notifier] = desk.built.courier.notifiers
        ids: set[str] = set()
        for _ in range(6):
            await desk.built.courier.carry(notifier)
            set_clock(desk.built.changes.clock, desk.built.changes.clock.now() + 3700)
            ids |= {headers["webhook-id"] for headers, _ in receiving.requests}
        assert receiving.kinds == ["change.waiting", "change.approved", "change.executed"] and len(ids) == 3
        assert await desk.built.courier.carry(notifier) == 0
        assert await desk.built.courier._outbox.oldest() == 0


async def test_a_process_that_dies_after_the_delivery_delivers_again_with_the_same_id(tmp_path: Path) -> None:
    async with receiver() as receiving, bench(tmp_path, **own(receiving)) as desk, bench(tmp_path) as other:
        await desk.plan(desk.person("olga", "operator"))
        [notice] = await noticed(desk)
        [notifier] = desk.built.courier.notifiers
        await notifier.send(notice)
        # It dies here. Until its time is over nobody else takes it.
        assert await desk.built.courier.carry(notifier) == 0
        set_clock(other.built.changes.clock, desk.built.changes.clock.now() + 121)
        outbox = other.built.courier._outbox
        [again] = await outbox.take("webhook", 10)
        assert again.id == notice.id and again.tries == 2
        await desk.built.courier._outbox.sent(notice)  # too late: it is the other one's now
        await notifier.send(again)
        await outbox.sent(again)
        assert len(receiving.requests) == 2 and len(receiving.taken) == 1


async def test_of_two_processes_one_takes_it(tmp_path: Path) -> None:
    async with receiver() as receiving:
        settings = own(receiving)
        async with bench(tmp_path, **settings) as desk, bench(tmp_path, **settings) as other:
            for replicas in range(5):
                await desk.plan(desk.person("olga", "operator"), desk_scale(replicas))
            couriers = [each.built.courier for each in (desk, other)]
            await asyncio.gather(*(courier.carry(courier.notifiers[0]) for courier in couriers * 3))
        assert len(receiving.requests) == len(receiving.taken) == 5


def desk_scale(replicas: int) -> Any:
    from devops.changes.operations import Scale

    return Scale(replicas=replicas if replicas < 4 else 9)


async def test_what_nobody_will_ever_take_is_given_up(tmp_path: Path) -> None:
    async with receiver() as receiving, bench(tmp_path, **own(receiving)) as desk:
        receiving.answers = [410]
        await desk.plan(desk.person("olga", "operator"))
        courier = desk.built.courier
        assert await courier.carry(courier.notifiers[0]) == 1
        set_clock(desk.built.changes.clock, desk.built.changes.clock.now() + 90_000)
        assert await courier.carry(courier.notifiers[0]) == 0
        assert (await desk.runtime.metrics.own()).decode().count('outcome="given_up"') >= 1


async def test_what_has_ended_is_forgotten_after_a_week_and_nothing_else(tmp_path: Path) -> None:
    async with receiver() as receiving, bench(tmp_path, **own(receiving)) as desk:
        for replicas in range(3):
            await desk.plan(desk.person("olga", "operator"), desk_scale(replicas))
        outbox, clock = desk.built.courier._outbox, desk.built.changes.clock
        assert isinstance(outbox, SqlOutbox)
        sent, given_up, waiting = await noticed(desk)
        await outbox.sent(sent)
        await outbox.give_up(given_up, "nobody takes it")
        for days, left in ((6, 3), (8, 1)):
            set_clock(clock, waiting.at + days * 86_400)
            await outbox.prune()
            async with outbox._engine.connect() as connection:
                rows = (await connection.execute(select(notices.c.id))).scalars().all()
            assert len(rows) == left
        assert rows == [waiting.id]


async def test_answers_that_are_no_yes(tmp_path: Path) -> None:
    async with receiver() as receiving:
        notifier = WebhookNotifier(receiving.url, secret_bytes(SECRET))
        try:
            receiving.answers = [302, 400, 410]
            with pytest.raises(Unavailable, match="302"):
                await notifier.send(NOTICE)
            with pytest.raises(Unavailable, match="400"):
                await notifier.send(NOTICE)
            with pytest.raises(Gone):
                await notifier.send(NOTICE)
            assert "answers" in await notifier.check()
            assert len(receiving.requests) == 3, "no redirect was followed, and the check sends nothing"
        finally:
            await notifier.close()
        stranger = WebhookNotifier(receiving.url, b"another secret of 32 bytes......")
        try:
            with pytest.raises(Unavailable, match="403"):
                await stranger.send(NOTICE)
        finally:
            await stranger.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"notify_webhook_url": "https://hooks.example/x"},
        {"notify_webhook_url": "http://hooks.example/x", "notify_webhook_secret": SECRET},
        {"notify_webhook_url": "https://169.254.169.254/latest", "notify_webhook_secret": SECRET},
        {"notify_webhook_url": "file:///etc/passwd", "notify_webhook_secret": SECRET},
        {"notify_webhook_url": "https://user:password@hooks.example/x", "notify_webhook_secret": SECRET},
        {"notify_webhook_url": "https://hooks.example/x", "notify_webhook_secret": "short"},
        {"notify_smtp_host": "mail.example"},
        {"notify_smtp_host": "mail.example", "notify_email_from": "a@b.example"},
        {
            "notify_smtp_host": "mail.example",
            "notify_email_from": "a@b.example",
            "notify_email_to": ["c@d.example"],
            "notify_smtp_tls": "off",
        },
        {"notify_smtp_host": "mail.example", "notify_email_from": "a\r\nBcc: b", "notify_email_to": ["c@d.example"]},
    ],
)
def test_half_of_a_channel_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        build_notifiers(CommonSettings(), DevopsSettings(**settings))


def test_kinds_can_be_chosen() -> None:
    assert notify_kinds(DevopsSettings()) == list(KINDS)
    assert notify_kinds(DevopsSettings(notify_kinds=["switch.off"])) == ["switch.off"]
    with pytest.raises(SettingsError, match=r"change\.waited"):
        notify_kinds(DevopsSettings(notify_kinds=["change.waited"]))


async def test_the_check_that_the_documentation_shows(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "changes.md").read_text()
    [code] = [block for block in page.split("```python\n")[1:] if "is_new_and_genuine" in block]
    scope: dict[str, Any] = {}
    exec(code.partition("```")[0], scope)  # noqa: S102
    check, seen = scope["is_new_and_genuine"], set[str]()
    async with receiver() as receiving:
        notifier = WebhookNotifier(receiving.url, secret_bytes(SECRET))
        await notifier.send(NOTICE)
        await notifier.close()
    [(headers, body)] = receiving.requests
    assert not check(SECRET, headers, body + b" ", seen)
    assert not check(SECRET, {**headers, "webhook-timestamp": "1000000000"}, body, seen)
    assert check(SECRET, headers, body, seen) and not check(SECRET, headers, body, seen)


async def test_the_doctor_reaches_each_channel_and_tells_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = CommonSettings(data_dir=tmp_path)
    assert (await check_notifications(common)).startswith("off:")
    async with receiver() as receiving:
        monkeypatch.setenv("DEVOPS_NOTIFY_WEBHOOK_URL", receiving.url)
        monkeypatch.setenv("DEVOPS_NOTIFY_WEBHOOK_SECRET", SECRET)
        assert "127.0.0.1 answers" in await check_notifications(common)
        assert receiving.requests == []
    with pytest.raises(Unavailable, match="cannot be reached"):
        await check_notifications(common)


@pytest.mark.slow
async def test_of_processes_that_are_killed_every_notice_arrives(tmp_path: Path) -> None:
    async with receiver() as receiving:
        async with bench(tmp_path, **own(receiving)) as desk:
            for number in range(30):
                await desk.plan(desk.person(f"olga-{number}", "operator"))
        while len(receiving.taken) < 30:
            await killed_after(tmp_path, receiving, random.randint(5, 15))  # noqa: S311
    assert len(receiving.taken) == 30
    assert {headers["webhook-id"] for headers, _ in receiving.requests} == set(receiving.taken)


async def killed_after(folder: Path, receiving: Receiver, more: int) -> None:
    """A process delivers until so many more requests have come, or all notices, and is killed then."""
    enough = len(receiving.requests) + more
    command = [sys.executable, "-m", "tests.support.notifying", str(folder), receiving.url]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        await until(lambda: len(receiving.requests) >= enough or len(receiving.taken) == 30, 60)
    finally:
        process.kill()
        await process.wait()
