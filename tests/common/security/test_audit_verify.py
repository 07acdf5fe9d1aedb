"""Every kind of damage is found, and the first bad record is named."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.security.audit import AuditRecord
from common.security.audit_chain import Chain, records
from common.security.audit_checkpoints import Checkpoint, append_line, checkpoint_key
from common.security.signing import SigningKey
from tests.support.audit import KEY, Place, intent, outcome, until

RECORDS = 12
COLUMNS = sorted(records.columns.keys())


async def fill(place: Place, name: str) -> str:
    """One writer with 12 records, and checkpoints that saw record 2, 4, 6, 8, 10 and 12."""
    async with place.log(name, checkpoint_seconds=0.01) as log:
        for number in range(RECORDS // 2):
            await log.write(intent(f"{name}-{number}", number=number))
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


def edit(place: Place, editing: Callable[[list[str]], list[str]]) -> None:
    place.checkpoints.write_text("".join(f"{line}\n" for line in editing(place.lines)))


def of(writer: str, lines: list[str]) -> list[str]:
    """The checkpoints that this process wrote."""
    return [line for line in lines if json.loads(line)["by"] == writer]


def change_and_rehash(place: Place, a: str) -> None:
    change(place, a, 5, "subject", "mallory")
    place.rehash(a, 5)


def remove_and_rehash(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_records WHERE writer = ? AND seq = 5", a)
    for seq in range(6, RECORDS + 1):
        change(place, a, seq, "seq", seq - 1)
    place.rehash(a, 5)


def swap(place: Place, a: str) -> None:
    for seq, to in ((5, 1000), (6, 5), (1000, 6)):
        change(place, a, seq, "seq", to)


def insert(place: Place, a: str) -> None:
    for seq in range(RECORDS, 4, -1):
        change(place, a, seq, "seq", seq + 1)
    names = ", ".join(name for name in COLUMNS if name != "seq")
    place.sql(f"INSERT INTO audit_records ({names}, seq) SELECT {names}, 5 FROM audit_records WHERE seq = 4")  # noqa: S608


def insert_and_rehash(place: Place, a: str) -> None:
    insert(place, a)
    place.rehash(a, 5)


def cut_tail(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_records WHERE writer = ? AND seq > 9", a)


def remove_writer(place: Place, a: str) -> None:
    place.sql("DELETE FROM audit_records WHERE writer = ?", a)


RECORD_DAMAGE: list[tuple[Callable[[Place, str], None], int, str]] = [
    (lambda place, a: change(place, a, 5, "subject", "mallory"), 5, "changed"),
    (lambda place, a: change(place, a, 1, "at", "2020-01-01T00:00:00"), 1, "changed"),
    (lambda place, a: change(place, a, 12, "body", b"\xff"), 12, "changed"),
    (lambda place, a: place.sql("DELETE FROM audit_records WHERE writer = ? AND seq = 5", a) and None, 5, "missing"),
    (lambda place, a: place.sql("DELETE FROM audit_records WHERE writer = ? AND seq < 4", a) and None, 1, "missing"),
    (lambda place, a: change(place, a, 5, "seq", "five"), 5, "missing"),
    (swap, 5, "changed"),
    (insert, 5, "changed"),
    (cut_tail, 10, "missing: the checkpoint of"),
    (remove_writer, 1, "missing: the checkpoint of"),
    # Who computes all hashes anew is caught by the first checkpoint that saw one of the old ones.
    (change_and_rehash, 6, "rewritten"),
    (remove_and_rehash, 6, "rewritten"),
    (insert_and_rehash, 6, "rewritten"),
    (lambda place, a: place.rehash(a, 1) or change(place, a, 12, "hash", "0" * 64), 12, "changed"),
]
