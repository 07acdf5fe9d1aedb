"""Every kind of damage is found, and the first bad record is named."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.databases import create_engine, sqlite_url
from common.security.audit import AuditLog, AuditRecord, VerifyReport, verify
from common.security.audit_chain import Chain, records, taken
from common.security.audit_checkpoints import Checkpoint, checkpoint_key
from common.security.signing import SigningKey
from tests.support.audit import KEY, Place, intent, outcome, until

RECORDS = 12
COLUMNS = sorted(records.columns.keys())


async def fill(place: Place, name: str) -> str:
    """One writer with 12 records, and checkpoints that saw record 2, 4, 6, 8, 10 and 12."""
    async with place.log(name, checkpoint_seconds=0.01) as log:
        for number in range(RECORDS // 2):
            # One transaction, so that no checkpoint comes between both.
            log.append(intent(f"{name}-{number}", number=number))
            await log.write(outcome(f"{name}-{number}"))
            seen = f'"{log.writer}":[{2 * number + 2},'
            await until(lambda seen=seen: any(seen in line for line in place.lines))  # type: ignore[misc]
        return log.writer


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str, str]:
    place = Place(tmp_path_factory.mktemp("audit"))
    return place, asyncio.run(fill(place, "a")), asyncio.run(fill(place, "b"))


@pytest.fixture
def log(filled: tuple[Place, str, str], tmp_path: Path) -> tuple[Place, str, str]:
    """A copy that a test may damage."""
    shutil.copytree(filled[0].folder, tmp_path / "copy")
    return Place(tmp_path / "copy"), filled[1], filled[2]


def change(place: Place, writer: str, seq: int, column: str, value: object) -> None:
    place.sql(f"UPDATE audit_records SET {column} = ? WHERE writer = ? AND seq = ?", value, writer, seq)  # noqa: S608


def save(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def edit(place: Place, editing: Callable[[list[str]], list[str]]) -> None:
    save(place.checkpoints, editing(place.lines))


def of(writer: str, lines: list[str]) -> list[str]:
    """The checkpoints that this process wrote."""
    return [line for line in lines if json.loads(line)["by"] == writer]


Damage = Callable[[Place, str], object]
record_damage: list[tuple[Damage, int, str]] = []
checkpoint_damage: list[tuple[Damage, int, str]] = []


def breaks(seq: int, words: str, found: list[tuple[Damage, int, str]] = record_damage) -> Callable[[Damage], Damage]:
    """Register a way to damage the log of writer `a`, with what must be said about it."""

    def register(damage: Damage) -> Damage:
        found.append((damage, seq, words))
        return damage

    return register


@breaks(5, "changed")
def change_a_field(place: Place, a: str) -> None:
    change(place, a, 5, "subject", "mallory")


@breaks(12, "changed")
def change_the_last_record(place: Place, a: str) -> None:
    change(place, a, 12, "outcome", "denied")


@breaks(1, "changed")
def change_a_field_to_bytes(place: Place, a: str) -> None:
    change(place, a, 1, "body", b"\xff")


@breaks(5, "missing")
def remove_in_the_middle(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_records WHERE writer = ? AND seq = 5", a)


@breaks(1, "missing")
def remove_the_beginning(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_records WHERE writer = ? AND seq < 4", a)


@breaks(5, "missing")
def make_a_number_text(place: Place, a: str) -> None:
    change(place, a, 5, "seq", "five")


@breaks(5, "changed")
def swap(place: Place, a: str) -> None:
    for seq, to in ((5, 1000), (6, 5), (1000, 6)):
        change(place, a, seq, "seq", to)


@breaks(5, "changed")
def insert(place: Place, a: str) -> None:
    for seq in range(RECORDS, 4, -1):
        change(place, a, seq, "seq", seq + 1)
    names = ", ".join(name for name in COLUMNS if name != "seq")
    copy = f"INSERT INTO audit_records ({names}, seq) SELECT {names}, 5 FROM audit_records WHERE writer = ? AND seq = 4"  # noqa: S608
    place.sql(copy, a)


@breaks(6, "does not follow")
def replace_with_a_record_that_has_its_own_hash(place: Place, a: str) -> None:
    change(place, a, 5, "subject", "mallory")
    place.rehash(a, 5, 5)


@breaks(10, "missing: the checkpoint of")
def cut_the_tail(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_records WHERE writer = ? AND seq > 9", a)


@breaks(1, "missing: the checkpoint of")
def remove_the_writer(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_records WHERE writer = ?", a)


# Who computes all hashes anew is caught by the first checkpoint that saw an old one: they saw every second record.


@breaks(6, "rewritten")
def change_and_rehash(place: Place, a: str) -> None:
    change(place, a, 5, "subject", "mallory")
    place.rehash(a, 5)


@breaks(6, "rewritten")
def remove_and_rehash(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_records WHERE writer = ? AND seq = 5", a)
    for seq in range(6, RECORDS + 1):
        change(place, a, seq, "seq", seq - 1)
    place.rehash(a, 5)


@breaks(6, "rewritten")
def insert_and_rehash(place: Place, a: str) -> None:
    insert(place, a)
    place.rehash(a, 5)


@breaks(12, "rewritten")
def change_the_last_record_and_rehash(place: Place, a: str) -> None:
    change(place, a, 12, "subject", "mallory")
    place.rehash(a, 12)


@pytest.mark.parametrize(("damage", "seq", "words"), record_damage)
async def test_the_first_bad_record_is_named(log: tuple[Place, str, str], damage: Damage, seq: int, words: str) -> None:
    place, a, _ = log
    assert (await place.verify()).ok
    damage(place, a)
    report = await place.verify()
    assert [(problem.part, problem.writer, problem.seq) for problem in report.problems] == [("record", a, seq)]
    assert words in report.problems[0].what


@breaks(3, "signature", checkpoint_damage)
def edit_a_line(place: Place, a: str) -> None:
    third = of(a, place.lines)[2]
    edit(place, lambda lines: [line.replace('"at":"2', '"at":"1') if line == third else line for line in lines])


@breaks(3, "signature", checkpoint_damage)
def forge_with_another_key(place: Place, a: str) -> None:
    third = of(a, place.lines)[2]
    forged = Checkpoint.model_validate_json(third).sign(checkpoint_key(SigningKey(b"m" * 32))).line
    edit(place, lambda lines: [forged if line == third else line for line in lines])


@breaks(3, "missing in the file", checkpoint_damage)
def remove_a_line(place: Place, a: str) -> None:
    third = of(a, place.lines)[2]
    edit(place, lambda lines: [line for line in lines if line != third])


@breaks(3, "missing in the file", checkpoint_damage)
def swap_two_lines(place: Place, a: str) -> None:
    edit(place, lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]])


@breaks(3, "not in the database", checkpoint_damage)
def remove_a_row(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_checkpoints WHERE writer = ? AND seq = 3", a)


@breaks(3, "missing in the file", checkpoint_damage)
def remove_from_both(place: Place, a: str) -> None:
    remove_a_line(place, a)
    remove_a_row(place, a)


@breaks(3, "differs", checkpoint_damage)
def edit_a_row(place: Place, a: str) -> None:
    place.sql("UPDATE audit_checkpoints SET line = '{}' WHERE writer = ? AND seq = 3", a)


@breaks(1, "not in the database", checkpoint_damage)
def remove_all_rows(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_checkpoints WHERE writer = ?", a)


@breaks(1, "no checkpoint file", checkpoint_damage)
def remove_all_lines(place: Place, a: str) -> None:
    edit(place, lambda lines: [line for line in lines if line not in of(a, lines)])


@breaks(4, "no checkpoint file", checkpoint_damage)
def cut_the_file(place: Place, a: str) -> None:
    kept = of(a, place.lines)[:3]
    edit(place, lambda lines: [line for line in lines if line in kept or line not in of(a, lines)])


@pytest.mark.parametrize(("damage", "seq", "words"), checkpoint_damage)
async def test_the_first_bad_checkpoint_is_named(
    log: tuple[Place, str, str], damage: Damage, seq: int, words: str
) -> None:
    place, a, _ = log
    damage(place, a)
    report = await place.verify()
    assert [(problem.part, problem.writer, problem.seq) for problem in report.problems] == [("checkpoint", a, seq)]
    assert words in report.problems[0].what


async def test_an_intact_log(log: tuple[Place, str, str]) -> None:
    place, _, _ = log
    report = await place.verify()
    assert (report.ok, report.empty) == (True, False)
    assert (report.records, report.writers, report.unfinished) == (2 * RECORDS, 2, 0)
    assert report.checkpoints == len(place.lines) >= RECORDS


async def test_a_missing_checkpoint_file_is_damage(log: tuple[Place, str, str]) -> None:
    place, a, b = log
    place.checkpoints.unlink()
    report = await place.verify()
    assert [(problem.part, problem.writer, problem.seq) for problem in report.problems] == [
        ("checkpoint", a, 1),
        ("checkpoint", b, 1),
    ]


async def test_a_line_that_is_no_checkpoint_is_named(log: tuple[Place, str, str]) -> None:
    place, _, _ = log
    edit(place, lambda lines: [lines[0], "{", *lines[1:]])
    problem = (await place.verify()).problems[0]
    assert (problem.part, problem.writer, problem.seq) == ("checkpoint", "checkpoints.jsonl", 2)


async def test_another_signing_key_is_noticed(log: tuple[Place, str, str]) -> None:
    place, a, b = log
    report = await place.verify(SigningKey(b"m" * 32))
    assert {problem.writer for problem in report.problems} == {a, b}
    assert all("signature" in problem.what for problem in report.problems)


async def test_a_table_that_is_gone_is_damage(log: tuple[Place, str, str]) -> None:
    place, _, _ = log
    place.sql("DROP TABLE audit_records")
    assert [problem.writer for problem in (await place.verify()).problems] == ["audit_records"]
    place.sql("DROP TABLE audit_checkpoints")
    assert len((await place.verify()).problems) == 2


async def test_records_that_cannot_be_read_are_damage(log: tuple[Place, str, str]) -> None:
    place, a, _ = log
    place.sql("UPDATE audit_records SET action = CAST(x'ff' AS TEXT) WHERE writer = ? AND seq = 5", a)
    problems = (await place.verify()).problems
    assert problems[0].part == "record"
    assert "cannot be read" in problems[0].what


async def test_a_crash_between_file_and_database_is_no_damage(log: tuple[Place, str, str]) -> None:
    place, a, _ = log
    last = json.loads(of(a, place.lines)[-1])["seq"]
    place.sql("DELETE FROM audit_checkpoints WHERE writer = ? AND seq = ?", a, last)
    edit(place, lambda lines: [*lines, lines[-1]])  # saved twice: the answer of the first time was lost
    with place.checkpoints.open("a") as file:
        file.write('{"at":"being written')
    assert (await place.verify()).ok


async def test_hosts_may_have_a_file_each(log: tuple[Place, str, str]) -> None:
    place, a, _ = log
    lines, other = place.lines, place.folder / "other.jsonl"
    save(other, of(a, lines))
    edit(place, lambda lines: [line for line in lines if line not in of(a, lines)])
    assert not (await place.verify()).ok
    assert (await place.verify(KEY, other)).ok


async def test_a_forged_continuation_is_found_when_the_writer_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.log() as log:
        await log.write(intent("real"))
        chain = Chain(log.writer)
        chain.seq, chain.head = 1, place.rows(log.writer)[0]["hash"]
        forged = chain.link(taken(AuditRecord("event", "forged")))
        names = ", ".join(forged)
        place.sql(f"INSERT INTO audit_records ({names}) VALUES ({', '.join('?' * len(forged))})", *forged.values())  # noqa: S608
        await log.write(intent("lost"))
        await log.write(intent("next"))
    problems = (await place.verify()).problems
    assert [(problem.writer, problem.seq) for problem in problems] == [(log.writer, 3)]
    assert "does not follow" in problems[0].what


async def test_unfinished_intents_are_counted_and_no_damage(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.log() as log:
        for name in ("finished", "twice", "twice", "running"):
            await log.write(intent(name))
        await log.write(outcome("finished"))
        await log.write(outcome("twice"))
        await log.write(AuditRecord("event", "sign_in", "event"))
    report = await place.verify()
    assert (report.ok, report.unfinished) == (True, 2)


async def test_verifying_beside_a_writer_finds_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.log(checkpoint_seconds=0.001) as log:
        writing = asyncio.create_task(keep_writing(log))
        while len(place.lines) < 30:
            assert (await place.verify()).problems == []
        writing.cancel()


async def keep_writing(log: AuditLog) -> None:
    while True:
        await log.write(intent())


async def test_an_empty_place_has_no_log(tmp_path: Path) -> None:
    assert (await Place(tmp_path).verify()).empty


@pytest.fixture(scope="module")
def verify_filled(filled: tuple[Place, str, str]) -> Iterator[Callable[[], VerifyReport]]:
    """Many verifications with one engine."""
    place, _, _ = filled
    engine = create_engine(sqlite_url(place.database))
    with asyncio.Runner() as runner:
        yield lambda: runner.run(verify(engine, KEY, place.checkpoints))
        runner.run(engine.dispose())


@given(
    seq=st.integers(1, RECORDS),
    column=st.sampled_from(COLUMNS),
    value=st.one_of(st.text(st.characters(codec="utf-8"), max_size=30), st.binary(max_size=5), st.integers(-2, 20)),
)
@settings(max_examples=100, deadline=None)
def test_any_change_of_a_field_of_any_record_is_found(
    filled: tuple[Place, str, str],
    verify_filled: Callable[[], VerifyReport],
    seq: int,
    column: str,
    value: str | bytes | int,
) -> None:
    place, a, _ = filled
    before = place.rows(a)
    select = f"SELECT rowid, {column} FROM audit_records WHERE writer = ? AND seq = ?"  # noqa: S608
    ((row, old),) = place.sql(select, a, seq)
    update = f"UPDATE OR IGNORE audit_records SET {column} = ? WHERE rowid = ?"  # noqa: S608
    place.sql(update, value, row)
    try:
        changed = place.rows(a) != before
        problems = [problem for problem in verify_filled().problems if problem.part == "record"]
        assert bool(problems) == changed
        if changed:
            found = {problem.writer: problem.seq for problem in problems}
            assert found[a] <= seq
            assert found[a] == seq or column in ("writer", "seq")
    finally:
        place.sql(update, old, row)
