"""Metadata can be filtered by, deleted documents have lives, jobs have tries, and folders are followed.

A database of before there were versions may have some of it: what is there is left alone.
"""

from collections.abc import Iterator
from typing import Any

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Float, Integer, MetaData, String, Table, Text, insert, inspect, select
from sqlalchemy import column as named
from sqlalchemy import table as known

revision, down_revision = "0002", "0001"
ROWS = 500
metadata = MetaData()
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
facts = Table(
    "facts",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("document_id", String(200), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("key", _TEXT, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("text", _TEXT),
    Column("number", Float),
)
Table(
    "sources",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("root", String(4096), nullable=False),
    Column("access", JSON, nullable=False),
    Column("owner", String(200), nullable=False),
)
Table(
    "source_files",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("source", String(100), primary_key=True),
    Column("path", String(1000), primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in ("size", "mtime_ns", "ctime_ns", "inode")),
    Column("digest", String(64), nullable=False),
    Column("checked_at", Float, nullable=False),
    Column("document_ids", JSON, nullable=False),
)
VERSIONS = known("versions", named("tenant"), named("document_id"), named("version"), named("metadata", JSON))


def upgrade() -> None:
    """Tables, columns, and the facts of documents that were there before."""
    had_facts = inspect(op.get_bind()).has_table("facts")
    metadata.create_all(op.get_bind())
    if _add("documents", Column("erased_to", Integer, nullable=False, server_default="0")):
        op.execute("UPDATE documents SET erased_to = latest_version WHERE deleted_at IS NOT NULL")
    for column in (
        Column("failures", Integer, nullable=False, server_default="0"),
        Column("lost", Integer, nullable=False, server_default="0"),
        Column("ended", Float),
    ):
        _add("jobs", column)
    if not had_facts:
        for rows in op.get_bind().execute(select(VERSIONS)).mappings().partitions(ROWS):
            if found := [fact for row in rows for fact in _facts(row)]:
                op.get_bind().execute(insert(facts), found)


def _add(table: str, column: Column[Any]) -> bool:
    if column.name in {each["name"] for each in inspect(op.get_bind()).get_columns(table)}:
        return False
    op.add_column(table, column)
    return True


def _facts(row: Any) -> Iterator[dict[str, Any]]:
    """The values of a version's metadata, each once."""
    same = {name: row[name] for name in ("tenant", "document_id", "version")}
    values: list[tuple[str, str, Any]] = []
    for key, value in row["metadata"].items():
        if isinstance(value, list):
            values += [(key, "element", element) for element in dict.fromkeys(value)]
        else:
            kind = "text" if isinstance(value, str) else "flag" if isinstance(value, bool) else "number"
            values.append((key, kind, value))
    for position, (key, kind, value) in enumerate(values):
        text = value if isinstance(value, str) else None
        number = None if isinstance(value, str) else float(value) + 0.0
        yield {**same, "key": key, "position": position, "kind": kind, "text": text, "number": number}
