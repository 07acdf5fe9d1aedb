"""An audit log in a folder, and the hands of somebody who can write to its files."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_engine, sqlite_url
from common.security.audit import AuditLog, AuditRecord, VerifyReport, verify
from common.security.audit_chain import digest
from common.security.signing import SigningKey

KEY = SigningKey(b"k" * 32)


def intent(request_id: str = "r-1", **detail: object) -> AuditRecord:
    return AuditRecord("intent", "scale_workload", request_id, "alice", "acme", detail=detail)


def outcome(request_id: str = "r-1", result: str = "ok") -> AuditRecord:
    return AuditRecord("outcome", "scale_workload", request_id, "alice", "acme", outcome=result)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Poll until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Place:
    """Where one log is."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "audit.db"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints.jsonl"

    @property
    def lines(self) -> list[str]:
        return self.checkpoints.read_text().splitlines() if self.checkpoints.exists() else []

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[AsyncEngine]:
        engine = create_engine(sqlite_url(self.database))
        try:
            yield engine
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def log(self, name: str = "test", checkpoint_seconds: float = 60, **options: Any) -> AsyncIterator[AuditLog]:
        async with (
            self.engine() as engine,
            AuditLog(engine, name, KEY, self.checkpoints, checkpoint_seconds, **options) as log,
        ):
            yield log

    async def verify(self, key: SigningKey = KEY, *more: Path) -> VerifyReport:
        async with self.engine() as engine:
            return await verify(engine, key, self.checkpoints, *more)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement behind the log's back."""
        with closing(sqlite3.connect(self.database, timeout=15)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def rows(self, writer: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute("SELECT * FROM audit_records WHERE writer = ? ORDER BY seq", (writer,))
            return [dict(row) for row in found]

    def rehash(self, writer: str, first: int, last: int = 1_000_000) -> None:
        """What a careful forger does: compute hashes anew, from one record on."""
        prev = ""
        for row in self.rows(writer):
            if first <= row["seq"] <= last:
                row["prev"] = prev
                del row["hash"]
                row["hash"] = digest(row)
                change = "UPDATE audit_records SET prev = ?, hash = ? WHERE writer = ? AND seq = ?"
                self.sql(change, row["prev"], row["hash"], writer, row["seq"])
            prev = row["hash"]
