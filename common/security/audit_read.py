"""Reading the audit log: all of it, its end, and what is being added."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

from sqlalchemy import ColumnElement, and_, literal, or_, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.security.audit_chain import Row, read_heads, records
from common.security.redaction import JSON

PAGE = 500
POLL_SECONDS = 0.5
CALL = ("writer", "tenant", "subject", "request_id", "action")
"""What the records of one call have in common. A client chooses its request ids, also one that another has used."""
COLUMNS = records.c
Shown: TypeAlias = dict[str, JSON]


async def pages(connection: AsyncConnection) -> AsyncIterator[list[Row]]:
    """All records as they are stored, by writer and seq. A page is a transaction: a long log blocks nothing."""
    statement = select(records).order_by(COLUMNS.writer, COLUMNS.seq).limit(PAGE)
    after: ColumnElement[bool] = true()
    while page := [dict(row) for row in (await connection.execute(statement.where(after))).mappings()]:
        await connection.rollback()
        yield page
        after = tuple_(COLUMNS.writer, COLUMNS.seq) > tuple_(literal(page[-1]["writer"]), literal(page[-1]["seq"]))


async def export(engine: AsyncEngine) -> AsyncIterator[Row]:
    """All records with their hashes, so that they can be checked elsewhere."""
    async with engine.connect() as connection:
        async for page in pages(connection):
            for row in page:
                yield row


async def tail(
    engine: AsyncEngine,
    limit: int,
    subject: str | None = None,
    action: str | None = None,
    request_id: str | None = None,
) -> list[Shown]:
    """The newest records of all writers, oldest of them first."""
    newest = (COLUMNS.at.desc(), COLUMNS.writer, COLUMNS.seq.desc())
    statement = select(records).where(*_filters(subject, action, request_id)).order_by(*newest).limit(limit)
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).mappings().all()
    return [_shown(dict(row)) for row in reversed(rows)]


async def since(engine: AsyncEngine, tenant: str, begin: datetime, limit: int) -> list[Shown]:
    """The newest records from a time on, oldest of them first: of one tenant, and those without tenant."""
    wanted = (COLUMNS.at >= begin.astimezone(UTC).isoformat(timespec="microseconds"), COLUMNS.tenant.in_([tenant, ""]))
    newest = (COLUMNS.at.desc(), COLUMNS.writer, COLUMNS.seq.desc())
    async with engine.connect() as connection:
        found = await connection.execute(select(records).where(*wanted).order_by(*newest).limit(limit))
        return [_shown(dict(row)) for row in reversed(found.mappings().all())]


async def follow(
    engine: AsyncEngine,
    limit: int,
    subject: str | None = None,
    action: str | None = None,
    request_id: str | None = None,
) -> AsyncIterator[Shown]:
    """The newest records, and then each new one, without end."""
    seen = await _ends(engine)
    for shown in await tail(engine, limit, subject, action, request_id):
        # It may have been added after `seen` was read.
        seen[str(shown["writer"])] = max(seen.get(str(shown["writer"]), 0), int(str(shown["seq"])))
        yield shown
    while True:
        await asyncio.sleep(POLL_SECONDS)
        ends = await _ends(engine)
        for shown in await _between(engine, seen, ends, _filters(subject, action, request_id)):
            yield shown
        seen = ends


async def _ends(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        return {writer: seq for writer, (seq, _) in (await read_heads(connection)).items()}


async def _between(
    engine: AsyncEngine, seen: dict[str, int], ends: dict[str, int], filters: list[ColumnElement[bool]]
) -> list[Shown]:
    added = [
        and_(COLUMNS.writer == writer, COLUMNS.seq > seen.get(writer, 0), COLUMNS.seq <= end)
        for writer, end in ends.items()
        if end > seen.get(writer, 0)
    ]
    if not added:
        return []
    statement = select(records).where(or_(*added), *filters).order_by(COLUMNS.at, COLUMNS.writer, COLUMNS.seq)
    async with engine.connect() as connection:
        return [_shown(dict(row)) for row in (await connection.execute(statement)).mappings()]


def _filters(subject: str | None, action: str | None, request_id: str | None) -> list[ColumnElement[bool]]:
    wanted = ((COLUMNS.subject, subject), (COLUMNS.action, action), (COLUMNS.request_id, request_id))
    return [column == value for column, value in wanted if value is not None]


def _shown(row: Row) -> Shown:
    shown: Shown = {name: value for name, value in row.items() if name not in ("prev", "body")}
    shown["detail"] = row["body"]
    # A damaged record is shown as it is; to judge it is the work of `verify`.
    with suppress(ValueError, RecursionError):
        shown["detail"] = json.loads(str(row["body"]))
    return shown
