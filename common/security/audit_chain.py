"""What an audit record is, where it is kept, and the hash chain that binds the records of one writer."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

from sqlalchemy import BigInteger, Column, Connection, Index, MetaData, Table, Text, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import create_tables, read_write
from common.security.redaction import JSON, redact

Row: TypeAlias = dict[str, str | int]
Heads: TypeAlias = dict[str, tuple[int, str]]
"""The last record of each writer: its seq and its hash."""

MAX_COLUMN = 256

metadata = MetaData()
records = Table(
    "audit_records",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *(
        Column(name, Text, nullable=False)
        for name in "prev hash at kind request_id subject tenant action outcome body".split()
    ),
    Index("audit_records_at", "at"),
    Index("audit_records_subject", "subject", "at"),
    Index("audit_records_request", "request_id", "kind"),
)
checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("writer", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("line", Text, nullable=False),
)

# Each step finds the next writer by the primary key, so the cost grows with the writers and not with the records.
_HEADS = text("""
    WITH RECURSIVE names(writer) AS (
        SELECT min(writer) FROM audit_records
        UNION ALL
        SELECT (SELECT min(writer) FROM audit_records WHERE writer > names.writer) FROM names WHERE writer IS NOT NULL
    )
    SELECT r.writer, r.seq, r.hash FROM names JOIN audit_records r ON r.writer = names.writer
    WHERE r.seq = (SELECT max(seq) FROM audit_records WHERE writer = names.writer)
""")


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What a caller wants to have recorded. Its detail is redacted when it is taken."""

    kind: Literal["intent", "outcome", "event"]
    action: str
    request_id: str = ""
    subject: str = ""
    tenant: str = ""
    outcome: str = ""
    detail: Mapping[str, object] = field(default_factory=dict)


class Taken(NamedTuple):
    """What a record says of the moment it was taken: what happens to its detail later does not count."""

    row: Row
    detail: JSON


canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""JSON with one spelling per value: sorted keys, no spaces, ASCII."""


def digest(fields: Mapping[str, object]) -> str:
    """The hash of a record: SHA-256 over all its fields but the hash itself."""
    return hashlib.sha256(canonical(fields).encode()).hexdigest()


def printable(value: str) -> str:
    """At most 256 characters, none of which a terminal or Postgres would stumble over."""
    if not value.isprintable():
        value = "".join(char if char.isprintable() else "?" for char in value[:MAX_COLUMN])
    return value[:MAX_COLUMN]


def taken(record: AuditRecord) -> Taken:
    """The record as of now, without secrets. What is wrong with it is raised here, to whoever wants it recorded."""
    row: Row = {
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "kind": record.kind,
        "request_id": printable(record.request_id),
        "subject": printable(record.subject),
        "tenant": printable(record.tenant),
        "action": printable(record.action),
        "outcome": printable(record.outcome),
    }
    return Taken(row, redact(record.detail))


class Chain:
    """Gives the records of one writer their number and their link to the record before."""

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self.seq = 0
        self.head = ""

    def link(self, record: Taken) -> Row:
        """The row to store; the next one will follow it."""
        position: Row = {"writer": self.writer, "seq": self.seq + 1, "prev": self.head}
        row = {**position, **record.row, "body": canonical(record.detail)}
        row["hash"] = self.head = digest(row)
        self.seq += 1
        return row


def _create(connection: Connection) -> None:
    # A role that may only insert must be able to start where the tables exist; the last one to be made tells.
    if not inspect(connection).has_table(checkpoints.name):
        create_tables(connection, metadata)


async def open_tables(engine: AsyncEngine) -> None:
    """Make what is missing."""
    async with read_write(engine).begin() as connection:
        await connection.run_sync(_create)


async def read_heads(connection: AsyncConnection) -> Heads:
    """The last record of each writer."""
    return {row.writer: (row.seq, row.hash) for row in await connection.execute(_HEADS)}
