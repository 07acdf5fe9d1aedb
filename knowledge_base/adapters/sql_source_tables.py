"""Tables of followed folders."""

from sqlalchemy import JSON, BigInteger, Column, Float, MetaData, String, Table

from common.files import FileState

metadata = MetaData()
sources = Table(
    "sources",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("root", String(4096), nullable=False),
    Column("access", JSON, nullable=False),
    Column("owner", String(200), nullable=False),
)
files = Table(
    "source_files",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("source", String(100), primary_key=True),
    Column("path", String(1000), primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in FileState._fields),
    Column("digest", String(64), nullable=False),
    Column("checked_at", Float, nullable=False),
    Column("document_ids", JSON, nullable=False),
)
