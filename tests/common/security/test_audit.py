"""Writing: order, group commit, and what happens when the database does not take it."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from common.errors import Unavailable
from common.security.audit import (
    AuditLog,
    AuditRecord,
    AuditUnavailable,
    audit_database_url,
    checkpoint_path,
    export,
    follow,
    tail,
)
from common.settings import CommonSettings, load_settings
from tests.support.audit import KEY, Place, intent, outcome, until


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def log(place: Place) -> AsyncIterator[AuditLog]:
    async with place.log() as log:
        yield log


def requests(place: Place) -> list[str]:
    return [request_id for (request_id,) in place.sql("SELECT request_id FROM audit_records ORDER BY writer, seq")]


async def test_a_write_is_durable_when_it_returns(log: AuditLog, place: Place) -> None:
    await log.write(intent("r-1", replicas=3))
    row = place.rows(log.writer)[0]
    assert (row["seq"], row["prev"], row["kind"], row["subject"], row["tenant"]) == (1, "", "intent", "alice", "acme")
    assert json.loads(row["body"]) == {"replicas": 3}
    assert log.backlog == 0


async def test_an_append_is_durable_soon(log: AuditLog, place: Place) -> None:
    log.append(intent())
    assert log.backlog == 1
    await until(lambda: log.backlog == 0, seconds=5)
    assert len(place.rows(log.writer)) == 1


async def test_records_keep_their_order(log: AuditLog, place: Place) -> None:
    async def caller(name: int) -> None:
        for number in range(10):
            log.append(AuditRecord("event", "read", f"{name}-{number}"))
            await log.write(intent(f"{name}-{number}"))

    await asyncio.gather(*(caller(name) for name in range(8)))
    rows = place.rows(log.writer)
    assert [row["seq"] for row in rows] == list(range(1, 161))
    assert all(row["prev"] == before["hash"] for before, row in zip(rows, rows[1:], strict=False))
    for name in range(8):
        own = [row["request_id"] for row in rows if row["request_id"].startswith(f"{name}-") and row["kind"] == "event"]
        assert own == [f"{name}-{number}" for number in range(10)]


async def test_concurrent_writes_share_a_transaction(place: Place) -> None:
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    async with place.engine() as engine, AuditLog(engine, "test", KEY, place.checkpoints, 60) as log:
        await log.write(intent("first"))
        event.listen(engine.sync_engine, "commit", count)
        await asyncio.gather(*(log.write(intent(f"r-{number}")) for number in range(200)))
        assert len(place.rows(log.writer)) == 201
    assert commits <= 5


async def test_everything_is_flushed_and_bound_at_the_end(place: Place) -> None:
    async with place.log() as log:
        for number in range(500):
            log.append(intent(f"r-{number}"))
    assert len(place.rows(log.writer)) == 500
    last = json.loads(place.lines[-1])
    assert last["heads"][log.writer] == [500, place.rows(log.writer)[-1]["hash"]]
    assert (await place.verify()).ok
    with pytest.raises(AuditUnavailable):
        log.append(intent("too late"))


@pytest.mark.parametrize("records", [1, 2, 3, 255, 256, 600])
async def test_records_fit_into_statements_of_many(log: AuditLog, place: Place, records: int) -> None:
    for number in range(records):
        log.append(intent(f"r-{number}"))
    await log.write(intent("last"))
    assert requests(place) == [*(f"r-{number}" for number in range(records)), "last"]
    assert (await place.verify()).ok


async def test_a_record_is_of_the_moment_it_was_taken(log: AuditLog, place: Place) -> None:
    arguments, before = {"path": "a"}, datetime.now(UTC)
    log.append(AuditRecord("event", "read", detail=arguments))
    arguments["path"] = "changed later"
    after = datetime.now(UTC)
    await until(lambda: log.backlog == 0, seconds=5)
    [row] = place.rows(log.writer)
    assert json.loads(row["body"]) == {"path": "a"}
    assert before <= datetime.fromisoformat(row["at"]) <= after


async def test_what_cannot_be_recorded_is_refused_at_once_and_harms_no_other_record(place: Place) -> None:
    async with place.log() as log:
        log.append(intent("before"))
        with pytest.raises(AttributeError):
            log.append(replace(intent("bad"), tenant=None))  # type: ignore[arg-type]
        await log.write(intent("after"))
    assert requests(place) == ["before", "after"]
    assert (await place.verify()).ok


async def test_secrets_are_not_written(log: AuditLog, place: Place) -> None:
    await log.write(intent("r-1", password="hunter2", note="call +49 30 1234567, token=abc123"))
    stored = place.rows(log.writer)[0]["body"]
    assert json.loads(stored) == {"note": "call [phone], token=[redacted]", "password": "[redacted]"}


async def test_hostile_text_can_be_stored(log: AuditLog, place: Place) -> None:
    hostile = "\x00\x1b[2J\ud800" + "x" * 10_000
    detail = {hostile: hostile, "number": float("nan"), "big": 10**5000, "object": object()}
    await log.write(AuditRecord("intent", hostile, hostile, hostile, hostile, detail=detail))
    row = place.rows(log.writer)[0]
    assert len(row["subject"]) == 256
    assert row["subject"].isprintable()
    assert row["body"].isascii()
    assert (await place.verify()).ok


async def test_a_locked_database_refuses_and_recovers(place: Place) -> None:
    async with place.log(write_seconds=0.5) as log:
        log.append(intent("before"))
        await until(lambda: log.backlog == 0)
        with closing(sqlite3.connect(place.database, timeout=15)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            with pytest.raises(Unavailable, match="refused until the log can be written"):
                await log.write(intent("during"))
            assert time.monotonic() - started < 5
            assert not log.healthy
            refusal = asyncio.create_task(log.write(intent("at once")))
            await asyncio.sleep(0)
            assert isinstance(refusal.exception(), AuditUnavailable), "nobody waits for a log that is known to be down"
            log.append(AuditRecord("event", "read", "read"))
            blocker.rollback()
        await until(lambda: log.healthy and log.backlog == 0)
        log.append(intent("after"))
    assert requests(place) == ["before", "during", "during", "at once", "at once", "read", "after"]
    report = await place.verify()
    assert (report.ok, report.unfinished) == (True, 2), "a refused intent says so; the two others have no outcome yet"


async def test_a_failing_database_refuses_all_who_wait_and_recovers(log: AuditLog, place: Place) -> None:
    await log.write(intent("before"))
    place.sql("ALTER TABLE audit_records RENAME TO away")
    refused = await asyncio.gather(*(log.write(outcome(f"r-{n}")) for n in range(10)), return_exceptions=True)
    assert all(isinstance(error, AuditUnavailable) for error in refused)
    assert (log.healthy, log.backlog) == (False, 10)
    place.sql("ALTER TABLE away RENAME TO audit_records")
    await until(lambda: log.healthy)
    assert requests(place) == ["before", *(f"r-{n}" for n in range(10))]
    assert (await place.verify()).ok


async def test_a_full_buffer_refuses(place: Place) -> None:
    async with place.log(buffer_limit=3) as log:
        await log.write(intent("before"))
        place.sql("ALTER TABLE audit_records RENAME TO away")
        for number in range(3):
            log.append(intent(f"r-{number}"))
        with pytest.raises(AuditUnavailable):
            log.append(intent("too much"))
        place.sql("ALTER TABLE away RENAME TO audit_records")
        await until(lambda: log.backlog == 0)
        log.append(intent("again"))
    assert requests(place) == ["before", "r-0", "r-1", "r-2", "again"]


async def test_a_commit_whose_answer_is_lost_leaves_no_duplicate(
    log: AuditLog, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = AsyncConnection.commit

    async def lose_the_answer(self: AsyncConnection) -> None:
        monkeypatch.setattr(AsyncConnection, "commit", commit)
        await commit(self)
        raise OperationalError("COMMIT", {}, Exception("connection lost"))

    await log.write(intent("before"))
    monkeypatch.setattr(AsyncConnection, "commit", lose_the_answer)
    with pytest.raises(AuditUnavailable):
        await log.write(outcome("ambiguous"))
    await until(lambda: log.healthy)
    await log.write(outcome("after"))
    assert requests(place) == ["before", "ambiguous", "after"]
    assert (await place.verify()).ok


async def test_a_cancelled_write_harms_nobody_else(log: AuditLog, place: Place) -> None:
    writes = [asyncio.create_task(log.write(intent(f"r-{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False] * 10
    await log.write(intent("after"))
    rows = place.rows(log.writer)
    assert {row["request_id"] for row in rows if row["outcome"] == "cancelled"} == {f"r-{n}" for n in range(0, 20, 2)}
    assert (await place.verify()).ok


async def test_closing_does_not_wait_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.security.audit.CLOSE_SECONDS", 0.3)
    async with place.log() as log:
        await log.write(intent("before"))
        place.sql("ALTER TABLE audit_records RENAME TO away")
        log.append(intent("lost"))
    assert log.backlog == 1


async def test_tail_filters_and_export_is_complete(log: AuditLog, place: Place) -> None:
    for number in range(5):
        await log.write(intent(f"r-{number}", number=number))
        await log.write(AuditRecord("event", "sign_in", f"s-{number}", "bob", detail={}))
    async with place.engine() as engine:
        newest = await tail(engine, 3)
        assert [record["request_id"] for record in newest] == ["s-3", "r-4", "s-4"]
        assert newest[1]["detail"] == {"number": 4}
        assert [record["request_id"] for record in await tail(engine, 2, subject="bob")] == ["s-3", "s-4"]
        assert len(await tail(engine, 20, action="scale_workload")) == 5
        assert len(await tail(engine, 20, request_id="r-2")) == 1
        exported = [row async for row in export(engine)]
    assert exported == place.rows(log.writer)


async def test_follow_shows_each_new_record_once(log: AuditLog, place: Place) -> None:
    await log.write(intent("old"))
    async with place.engine() as engine, asyncio.timeout(20):
        followed = follow(engine, 5)
        assert (await anext(followed))["request_id"] == "old"
        for number in range(3):
            await log.write(intent(f"new-{number}"))
            assert (await anext(followed))["request_id"] == f"new-{number}"


def test_where_the_log_is(tmp_path: Path) -> None:
    embedded = load_settings(CommonSettings, data_dir=tmp_path)
    assert audit_database_url(embedded) == f"sqlite+aiosqlite:///{tmp_path}/audit.db"
    assert checkpoint_path(embedded) == tmp_path / "audit-checkpoints.jsonl"
    names = {"database_url": "postgresql+asyncpg://db/audit", "audit_checkpoint_file": Path("/mnt/audit")}
    elsewhere = load_settings(CommonSettings, **names)
    assert audit_database_url(elsewhere) == "postgresql+asyncpg://db/audit"
    assert checkpoint_path(elsewhere) == Path("/mnt/audit")
