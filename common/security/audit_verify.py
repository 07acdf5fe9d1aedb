"""Finds out whether the audit log is what was written, and names the first record of each chain that is not."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Connection, case, func, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.security.audit_chain import Heads, Row, digest, metadata, records
from common.security.audit_checkpoints import checkpoint_keys
from common.security.audit_read import pages
from common.security.audit_report import VerifyReport
from common.security.audit_verify_checkpoints import CheckpointCheck, read_lines
from common.security.signing import Keys

Progress: TypeAlias = Callable[[int, int], None]


async def verify(
    engine: AsyncEngine, keys: Keys, *checkpoint_files: Path, progress: Progress | None = None
) -> VerifyReport:
    """Check every record and every checkpoint. Servers may go on writing meanwhile."""
    report = VerifyReport()
    async with engine.connect() as connection:
        missing = await connection.run_sync(_missing_tables)
        if missing:
            exists = len(missing) < len(metadata.tables) or any(any(read_lines(path)) for path in checkpoint_files)
            for table in missing if exists else ():
                report.add("record", table, 0, "the table is missing")
            return report
        # The database's checkpoints first: what the file has beyond them may have been added since.
        checkpoints = CheckpointCheck(connection, checkpoint_keys(keys), report)
        await checkpoints.count_stored()
        checkpoints.heads = await _verify_records(connection, report, progress)
        for path in checkpoint_files:
            await checkpoints.check_file(path)
        checkpoints.finish()
        report.unfinished = await _count_unfinished(connection)
    return report


def _missing_tables(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    return [name for name in metadata.tables if not inspector.has_table(name)]


async def _verify_records(connection: AsyncConnection, report: VerifyReport, progress: Progress | None) -> Heads:
    total = await connection.scalar(select(func.count()).select_from(records)) if progress else 0
    heads: Heads = {}
    writer = ""
    try:
        async for page in pages(connection):
            for row in page:
                _verify_record(row, heads, report)
            writer = str(page[-1]["writer"])
            report.records += len(page)
            if progress:
                progress(report.records, total or 0)
    except DBAPIError as error:
        last = heads.get(writer, (0, ""))[0]
        report.add("record", writer, last + 1, f"what follows record {last} cannot be read: {error.orig}")
    report.writers = len(heads)
    return heads


def _verify_record(row: Row, heads: Heads, report: VerifyReport) -> None:
    # SQLite stores what it is given, whatever the column's type.
    writer, seq = str(row["writer"]), row["seq"] if isinstance(row["seq"], int) else 0
    last, prev = heads.get(writer, (0, ""))
    if seq != last + 1:
        report.add("record", writer, last + 1, f"missing: after record {last} comes record {seq}")
    elif not _fits(row):
        report.add("record", writer, seq, "changed: its content does not give its hash")
    elif row["prev"] != prev:
        report.add("record", writer, seq, "does not follow the record before it: one of both was put in later")
    heads[writer] = (seq, str(row["hash"]))


def _fits(row: Row) -> bool:
    try:
        return digest({name: value for name, value in row.items() if name != "hash"}) == row["hash"]
    except TypeError:
        return False


async def _count_unfinished(connection: AsyncConnection) -> int:
    kind = records.c.kind
    open_intents = func.sum(case((kind == "intent", 1), (kind == "outcome", -1), else_=0))
    per_request = select(open_intents.label("n")).group_by(records.c.request_id).having(open_intents > 0).subquery()
    return int(await connection.scalar(select(func.coalesce(func.sum(per_request.c.n), 0))) or 0)
