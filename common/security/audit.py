"""The write-ahead audit log: what is about to happen is recorded before it happens, and its outcome after."""

import asyncio
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import sqlite_url
from common.observability.traces import step
from common.security.audit_buffer import AuditBuffer, AuditUnavailable
from common.security.audit_chain import AuditRecord, Chain, open_tables
from common.security.audit_checkpoints import Checkpointer
from common.security.audit_read import export, follow, tail
from common.security.audit_report import Problem, VerifyReport
from common.security.audit_verify import verify
from common.security.signing import Keys
from common.settings import CommonSettings

__all__ = [
    "AuditLog",
    "AuditRecord",
    "AuditUnavailable",
    "Problem",
    "VerifyReport",
    "audit_database_url",
    "checkpoint_path",
    "export",
    "follow",
    "tail",
    "verify",
]

WRITE_SECONDS = 5.0
CLOSE_SECONDS = 5.0

log = structlog.get_logger(__name__)


def audit_database_url(settings: CommonSettings) -> str:
    """Where the records are."""
    url = settings.database_url
    return url.get_secret_value() if url else sqlite_url(settings.data_dir / "audit.db")


def checkpoint_path(settings: CommonSettings) -> Path:
    """Where the checkpoints outside the database are."""
    return settings.audit_checkpoint_file or settings.data_dir / "audit-checkpoints.jsonl"


class AuditLog:
    """One chain of records, written by this process. Open it with `async with`."""

    def __init__(
        self,
        engine: AsyncEngine,
        writer_name: str,
        keys: Keys,
        checkpoint_file: Path,
        checkpoint_seconds: float,
        buffer_limit: int = 10_000,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        self._engine = engine
        self._chain = Chain(f"{writer_name}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
        self._buffer = AuditBuffer(engine, self._chain, write_seconds)
        self._buffer_limit = buffer_limit
        self._checkpointer = Checkpointer(engine, self.writer, keys, checkpoint_file)
        self._checkpoint_seconds = checkpoint_seconds
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = False

    @property
    def writer(self) -> str:
        """The id of this process's chain."""
        return self._chain.writer

    @property
    def healthy(self) -> bool:
        """False from a failed or late flush until one succeeds."""
        return self._buffer.healthy

    @property
    def backlog(self) -> int:
        """Records that are not durable yet."""
        return len(self._buffer)

    async def __aenter__(self) -> Self:
        await open_tables(self._engine)
        self._open = True
        self._tasks = [asyncio.create_task(self._buffer.run()), asyncio.create_task(self._checkpoint_forever())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._closing.set()
        self._buffer.close()
        try:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._buffer.refuse()
        if self.backlog:
            log.critical("audit.lost", records=self.backlog, writer=self.writer)
        else:
            await self._checkpoint()

    def append(self, record: AuditRecord) -> None:
        """Record without waiting: durable within 200 ms. Raises AuditUnavailable when too much waits already."""
        if not self._open or self.backlog >= self._buffer_limit:
            raise AuditUnavailable
        self._buffer.add(record)

    async def write(self, record: AuditRecord) -> None:
        """Record, and return when it is durable. Raises AuditUnavailable: what was to follow must not happen."""
        self.append(record)
        try:
            with step("audit", f"wait until the {record.kind} is durable"):
                await self._buffer.flushed()
        except BaseException as error:
            if record.kind == "intent" and self._open:
                # The intent may still reach the log, which must then say that nothing followed.
                outcome = error.code if isinstance(error, AuditUnavailable) else "cancelled"
                self._buffer.add(replace(record, kind="outcome", outcome=outcome, detail={}))
            raise

    async def _checkpoint_forever(self) -> None:
        while not self._closing.is_set():
            await self._checkpoint()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._checkpoint_seconds)

    async def _checkpoint(self) -> None:
        try:
            await self._checkpointer.write()
        except Exception as error:
            log.error("audit.checkpoint_failed", error=str(getattr(error, "orig", error)))
