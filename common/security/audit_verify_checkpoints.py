"""Checks each checkpoint against the key, the one before it, the database's copy, and the records it saw."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Table, and_, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from common.security.audit_chain import Heads, checkpoints, records
from common.security.audit_checkpoints import Checkpoint, CheckpointKey
from common.security.audit_report import VerifyReport

LINES_AT_ONCE = 50
KEYS_PER_QUERY = 200


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a checkpoint file with their numbers; a file that is not there has none."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            # A last line without its end is being written at this moment.
            if line.endswith("\n") and line.strip():
                yield number, line.strip()


class CheckpointCheck:
    """Goes through the checkpoint files, and remembers only where each process's chain of them ends."""

    def __init__(self, connection: AsyncConnection, keys: Sequence[CheckpointKey], report: VerifyReport) -> None:
        self._connection = connection
        self._keys = keys
        self._report = report
        self._stored: dict[str, int] = {}
        self._ends: Heads = {}
        self._not_stored: dict[str, int] = {}
        self.heads: Heads = {}

    async def count_stored(self) -> None:
        """How many checkpoints of each process the database has."""
        by, seq = checkpoints.c.writer, checkpoints.c.seq
        rows = await self._connection.execute(select(by, func.max(seq), func.count()).group_by(by))
        self._stored = {writer: max(last, count) for writer, last, count in rows}

    async def check_file(self, path: Path) -> None:
        """Check all that one file holds. Several files may hold the checkpoints of several hosts."""
        lines = read_lines(path)
        while batch := await asyncio.to_thread(list, islice(lines, LINES_AT_ONCE)):
            # What these checkpoints saw was committed before: an older snapshot of the database may lack it.
            await self._connection.rollback()
            good = [found for number, line in batch if (found := self._read(path, number, line))]
            await self._compare_with_database(good)
            await self._compare_with_records(good)

    def finish(self) -> None:
        """Check what only the end shows."""
        for by, seq in self._not_stored.items():
            # Killed between both places, a process leaves its last checkpoint in the file alone.
            if seq < self._ends[by][0]:
                self._report.add("checkpoint", by, seq, "is in the file but not in the database")
        for by, count in self._stored.items():
            last, _ = self._ends.get(by, (0, ""))
            if count > last:
                self._report.add("checkpoint", by, last + 1, "is in the database but in no checkpoint file")

    def _read(self, path: Path, number: int, line: str) -> Checkpoint | None:
        try:
            found = Checkpoint.model_validate_json(line)
        except ValidationError:
            what = "the line is no checkpoint: it was edited, or a power cut tore it"
            self._report.add("checkpoint", path.name, number, what)
            return None
        return found if self._follows(found) else None

    def _follows(self, found: Checkpoint) -> bool:
        """Whether it is a further checkpoint of its process, to be compared with what it saw."""
        if not any(key.signed(found) for key in self._keys):
            what = "the signature is wrong: forged, edited, or made with a key that is not in the ring"
            self._report.add("checkpoint", found.by, found.seq, what)
            return False
        last, prev = self._ends.get(found.by, (0, ""))
        if found.digest == prev:
            return False  # saved twice, because the answer of the first time was lost
        if found.seq != last + 1:
            self._report.add("checkpoint", found.by, last + 1, f"missing in the file: next comes {found.seq}")
        elif found.prev != prev:
            self._report.add("checkpoint", found.by, found.seq, "does not follow the checkpoint before it")
        self._ends[found.by] = (found.seq, found.digest)
        self._report.checkpoints += 1
        return True

    async def _compare_with_database(self, found: Sequence[Checkpoint]) -> None:
        lines = await self._look_up(checkpoints, "line", [(each.by, each.seq) for each in found])
        for each in found:
            line = lines.get((each.by, each.seq))
            if line is None:
                self._not_stored.setdefault(each.by, each.seq)
            elif line != each.line:
                self._report.add("checkpoint", each.by, each.seq, "differs between the file and the database")

    async def _compare_with_records(self, found: Sequence[Checkpoint]) -> None:
        seen = iter((writer, *head, each.at) for each in found for writer, head in each.heads.items())
        while part := list(islice(seen, KEYS_PER_QUERY)):
            hashes = await self._look_up(records, "hash", [(writer, seq) for writer, seq, *_ in part])
            for writer, seq, expected, at in part:
                self._compare_head(writer, seq, expected, hashes.get((writer, seq)), at)

    async def _look_up(self, table: Table, column: str, keys: list[tuple[str, int]]) -> dict[tuple[str, int], str]:
        writer, seq = table.c.writer, table.c.seq
        # SQLite would read the whole table for `(writer, seq) IN (...)`.
        wanted = or_(false(), *(and_(writer == key[0], seq == key[1]) for key in keys))
        rows = await self._connection.execute(select(writer, seq, table.c[column]).where(wanted))
        return {(row[0], row[1]): row[2] for row in rows}

    def _compare_head(self, writer: str, seq: int, expected: str, found: str | None, at: str) -> None:
        if found is None:
            first = min(seq, self.heads.get(writer, (0, ""))[0] + 1)
            self._report.add("record", writer, first, f"missing: the checkpoint of {at} saw records up to {seq}")
        elif found != expected:
            what = f"is not the record that the checkpoint of {at} saw: the chain was rewritten up to here"
            self._report.add("record", writer, seq, what)
