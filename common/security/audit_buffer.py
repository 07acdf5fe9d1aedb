"""Brings records into the database in order: everyone who waits shares one transaction (group commit)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from operator import itemgetter
from typing import TypeAlias

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import single
from common.errors import Unavailable
from common.security.audit_chain import AuditRecord, Chain, Row, Taken, records, taken

BATCH_SECONDS = 0.2
"""A flush costs its connection and its commit, however many records it has."""
MAX_BACKOFF_SECONDS = 2.0
IDLE_SECONDS = 1.0

MOST_ROWS = 256
"""Of one statement for SQLite. All together, since its driver hands the interpreter over after each statement, and
waits for it in a busy server."""

# A commit whose answer was lost is sent again: what is there already stays as it is.
_INSERT = """
    INSERT INTO audit_records (writer, seq, prev, hash, at, kind, request_id, subject, tenant, action, outcome, body)
    VALUES {rows} ON CONFLICT (writer, seq) DO NOTHING
"""
_ROW = "(:writer, :seq, :prev, :hash, :at, :kind, :request_id, :subject, :tenant, :action, :outcome, :body)"
_ROW_OF_SQLITE = f"({', '.join('?' * len(records.columns))})"
_VALUES = itemgetter(*records.columns.keys())
Values: TypeAlias = tuple[str | int, ...]

log = structlog.get_logger(__name__)


class AuditUnavailable(Unavailable):
    """The audit log cannot be written, so nothing that needs a record may happen."""

    def __init__(self) -> None:
        super().__init__(
            "The audit log cannot be written.",
            "Changes are refused until the log can be written again; the operator sees the cause in the server's log.",
            retry_after=MAX_BACKOFF_SECONDS,
        )


class AuditBuffer:
    """Records that are not durable yet. `run` writes them; a failure keeps them, in order."""

    def __init__(self, engine: AsyncEngine, chain: Chain, write_seconds: float) -> None:
        # The statement as the driver takes it, made once: it halves what a flush costs.
        self._insert = str(text(_INSERT.format(rows=_ROW)).compile(dialect=engine.dialect))
        self._write_rows = self._at_once if engine.dialect.name == "sqlite" else self._one_by_one
        self._engine = single(engine)
        self._chain = chain
        self._write_seconds = write_seconds
        self._taken: list[Taken] = []
        self._rows: list[Row] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._flushing: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self.healthy = True

    def __len__(self) -> int:
        return len(self._taken) + len(self._rows)

    def add(self, record: AuditRecord) -> None:
        """Keep a record; it is written within 200 ms."""
        self._taken.append(taken(record))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._wake.set)

    async def flushed(self) -> None:
        """Return when all that was added so far is durable; raises AuditUnavailable."""
        if not self.healthy:
            raise AuditUnavailable
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake.set()
        await waiter

    async def run(self) -> None:
        """Write until the buffer is closed and empty."""
        backoff = BATCH_SECONDS
        while len(self) or not self._closing:
            await self._wake.wait()
            try:
                await self._flush_while_busy()
                backoff = BATCH_SECONDS
            except Exception as error:
                log.error("audit.flush_failed", backlog=len(self), error=str(getattr(error, "orig", error)))
                self.refuse()
                self._wake.set()
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)

    def close(self) -> None:
        """Let `run` end after everything is written. Nothing may be added from now on."""
        self._closing = True
        self._wake.set()

    def refuse(self) -> None:
        """Tell everyone who waits that the record is not durable."""
        self.healthy = False
        for waiter in self._flushing + self._waiting:
            if not waiter.done():
                waiter.set_exception(AuditUnavailable())
        self._flushing, self._waiting = [], []

    async def _flush_while_busy(self) -> None:
        """Flush on one connection, as taking and returning one costs as much as the flush, until it is idle."""
        with self._watched():
            connection = await self._engine.connect()
        try:
            while self._wake.is_set():
                self._wake.clear()
                with self._watched():
                    await self._flush(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0 if self._closing else IDLE_SECONDS):
                        await self._wake.wait()
        finally:
            await connection.close()

    async def _flush(self, connection: AsyncConnection) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Here and not one by one as they come: between other work each takes twice as long.
        self._rows += map(self._chain.link, self._taken)
        self._taken.clear()
        # Records and waiters that come during the commit belong to the next one.
        self._flushing, self._waiting = self._waiting, []
        if self._rows:
            await self._write_rows(connection, [_VALUES(row) for row in self._rows])
            await connection.commit()
            self._rows.clear()
        self.healthy = True
        for waiter in self._flushing:
            if not waiter.done():
                waiter.set_result(None)

    async def _one_by_one(self, connection: AsyncConnection, rows: list[Values]) -> None:
        await connection.exec_driver_sql(self._insert, rows)

    async def _at_once(self, connection: AsyncConnection, rows: list[Values]) -> None:
        for start in range(0, len(rows), MOST_ROWS):
            some = rows[start : start + MOST_ROWS]
            # Powers of two, so that SQLite knows the statement; the last row, once more, is there already.
            number = 1 << (len(some) - 1).bit_length()
            some += some[-1:] * (number - len(some))
            insert = _INSERT.format(rows=", ".join([_ROW_OF_SQLITE] * number))
            await connection.exec_driver_sql(insert, tuple(chain.from_iterable(some)))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Refuse those who wait for too long. The commit itself goes on: cancelled, nobody knew if it happened."""
        watchdog = asyncio.get_running_loop().call_later(self._write_seconds, self.refuse)
        try:
            yield
        finally:
            watchdog.cancel()
