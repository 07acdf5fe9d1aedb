"""The audit log as people read it: intent and outcome of a request as one entry, newest first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, RowMapping, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.console.audit_entry import GOOD, Entry, entry_of
from common.security.audit_chain import records
from common.security.audit_read import CALL

PAGE = 100
MAX_COUNTERPARTS = 1000
UNFINISHED, NOT_OK = "unfinished", "not ok"
COLUMNS = records.c
Position: TypeAlias = tuple[str, str, int]
"""at, writer, seq"""


@dataclass(frozen=True)
class Filters:
    """What somebody looks for; an empty string is anything."""

    subject: str = ""
    action: str = ""
    request_id: str = ""
    outcome: str = ""


async def entries(
    engine: AsyncEngine, tenant: str, filters: Filters, older: Position | None = None
) -> tuple[list[Entry], Position | None]:
    """A page, and where the next one begins. A tenant sees its own records and those without tenant."""
    conditions = [_seen_by(tenant), *_conditions(filters)]
    if older:
        conditions.append(_place() < tuple_(*map(literal, older)))
    newest = select(records).where(*conditions).order_by(COLUMNS.at.desc(), COLUMNS.writer.desc(), COLUMNS.seq.desc())
    async with engine.connect() as connection:
        found = (await connection.execute(newest.limit(PAGE + 1))).mappings().all()
        page = found[:PAGE]
        others = await _counterparts(connection, tenant, page)
    shown = [entry for entry in _paired(page, others, older) if filters.outcome != UNFINISHED or not entry.outcome]
    last = page[-1] if len(found) > PAGE else None
    return shown, _position(last) if last else None


async def records_of(engine: AsyncEngine, tenant: str, request_id: str, most: int) -> list[RowMapping]:
    """The newest records of one request in the order of time, as `entries` shows them to this tenant."""
    mine = COLUMNS.request_id == request_id, _seen_by(tenant)
    wanted = select(records).where(*mine).order_by(COLUMNS.at.desc(), COLUMNS.writer.desc(), COLUMNS.seq.desc())
    async with engine.connect() as connection:
        return list((await connection.execute(wanted.limit(most))).mappings())[::-1]


def _seen_by(tenant: str) -> ColumnElement[bool]:
    return COLUMNS.tenant.in_([tenant, ""])


def _place() -> ColumnElement[Any]:
    return tuple_(COLUMNS.at, COLUMNS.writer, COLUMNS.seq)


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    wanted = (
        (COLUMNS.subject, filters.subject),
        (COLUMNS.action, filters.action),
        (COLUMNS.request_id, filters.request_id),
    )
    conditions = [column == value for column, value in wanted if value]
    if filters.outcome == UNFINISHED:
        return [*conditions, COLUMNS.kind == "intent"]
    if not filters.outcome:
        return conditions
    is_wanted = COLUMNS.outcome.not_in(["", *GOOD]) if filters.outcome == NOT_OK else COLUMNS.outcome == filters.outcome
    return [*conditions, COLUMNS.kind != "intent", is_wanted]


async def _counterparts(connection: AsyncConnection, tenant: str, page: Sequence[RowMapping]) -> list[RowMapping]:
    """The other records of the same requests. A client chooses its request ids: it may repeat one, or take another's.

    Hence bounded, and within what the tenant sees.
    """
    known = {(record["writer"], record["seq"]) for record in page}
    requests = {record["request_id"] for record in page if record["kind"] != "event"}
    if not requests:
        return []
    is_call = COLUMNS.kind.in_(["intent", "outcome"])
    same = select(records).where(COLUMNS.request_id.in_(requests), is_call, _seen_by(tenant))
    found = await connection.execute(same.order_by(COLUMNS.at.desc()).limit(MAX_COUNTERPARTS))
    return [record for record in found.mappings() if (record["writer"], record["seq"]) not in known]


def _paired(page: Sequence[RowMapping], others: Sequence[RowMapping], older: Position | None) -> Iterable[Entry]:
    intents = intents_of_outcomes([*page, *others])
    outcomes = {id(intent): outcome for outcome, intent in intents.values()}
    on_page = {id(record) for record in page}
    for record in page:
        if record["kind"] == "event":
            yield entry_of(record)
        elif record["kind"] == "outcome":
            yield entry_of(record, intents[id(record)][1] if id(record) in intents else None)
        elif (outcome := outcomes.get(id(record))) is None:
            yield entry_of(record)
        elif id(outcome) not in on_page and (older is None or _position(outcome) < older):
            yield entry_of(outcome, record)


def intents_of_outcomes(found: Sequence[RowMapping]) -> dict[int, tuple[RowMapping, RowMapping]]:
    """Each outcome with the last intent before it, of the same writer, caller, request and action."""
    open_intents: dict[tuple[Any, ...], list[RowMapping]] = {}
    pairs = {}
    for record in sorted(found, key=lambda each: str(each["seq"]).zfill(20)):
        same = open_intents.setdefault(tuple(record[name] for name in CALL), [])
        if record["kind"] == "intent":
            same.append(record)
        elif record["kind"] == "outcome" and same:
            pairs[id(record)] = (record, same.pop())
    return pairs


def _position(record: RowMapping) -> Position:
    # SQLite stores what it is given: a number that somebody overwrote with text must not hide the page.
    seq = record["seq"]
    return str(record["at"]), str(record["writer"]), seq if isinstance(seq, int) else 0
