"""The tables as they were first. A database of before there were versions may have them all."""

from alembic import op
from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, SmallInteger, String, Table

revision, down_revision = "0001", None
metadata = MetaData()
Table(
    "documents",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("current_version", Integer),
    Column("latest_version", Integer, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("classification", String(20), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("owners", JSON, nullable=False),
    Column("deleted_at", Float),
    Column("deleted_by", String(200)),
)
Table(
    "document_readers",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("document_id", String(200), primary_key=True),
    Column("label", String(300), primary_key=True),
)
Table(
    "versions",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("document_id", String(200), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("title", String(500), nullable=False),
    Column("name", String(500), nullable=False),
    Column("object_key", String(200), nullable=False),
    Column("text_key", String(200)),
    Column("metadata", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("published_at", Float),
    Column("superseded_at", Float),
)
Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("batch", String(36), nullable=False),
    Column("tenant", String(100), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", String(100)),
    Column("ready_at", Float, nullable=False),
    Column("error", String(1000)),
    Column("created", Float, nullable=False),
    Index("jobs_by_state", "state", "ready_at"),
    Index("jobs_by_batch", "batch", "state"),
)


def upgrade() -> None:
    """What is not there yet."""
    metadata.create_all(op.get_bind())
