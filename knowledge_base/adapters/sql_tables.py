"""Tables of the catalogue, and the access rule as a condition on them."""

from functools import cache, lru_cache
from typing import Any

from sqlalchemy import JSON, Column, Float, Integer, MetaData, RowMapping, Select, SmallInteger, String, Table, select
from sqlalchemy.sql import exists

from common.databases import among
from common.security.access import Access, AccessScope
from knowledge_base.documents import Version

metadata = MetaData()
documents = Table(
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
    # Versions up to this one were deleted, whether they have been erased yet or not. It numbers the document's life.
    Column("erased_to", Integer, nullable=False),
    Column("deleted_at", Float),
    Column("deleted_by", String(200)),
    sqlite_with_rowid=False,
)
readers = Table(
    "document_readers",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("document_id", String(200), primary_key=True),
    Column("label", String(300), primary_key=True),
    sqlite_with_rowid=False,
)
versions = Table(
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
    # From when to when it was the current one. A version that is not published yet has no `published_at`.
    Column("published_at", Float),
    Column("superseded_at", Float),
    sqlite_with_rowid=False,
)


@lru_cache(maxsize=1_000)
def readable(scope: AccessScope) -> Any:
    """The access rule as a SQL condition on `documents`. A deleted document has no readers."""
    return of_tenant(scope) & within_clearance(scope) & named_reader(scope)


def of_tenant(scope: AccessScope) -> Any:
    """Documents of the caller's tenant."""
    return documents.c.tenant == scope.tenant


def within_clearance(scope: AccessScope) -> Any:
    """Documents that the caller is cleared for."""
    return documents.c.level <= scope.level


def named_reader(scope: AccessScope) -> Any:
    """Documents that name nobody, a group of the caller, or the caller."""
    return exists().where(
        readers.c.tenant == documents.c.tenant,
        readers.c.document_id == documents.c.id,
        # An expression, which no index has: a document has few labels to look at, the caller may have hundreds.
        among(readers.c.label + "", scope.labels),
    )


def is_document(tenant: str, document_id: str) -> Any:
    """The row of one document."""
    return (documents.c.tenant == tenant) & (documents.c.id == document_id)


def is_version(tenant: str, document_id: str) -> Any:
    """The versions of one document."""
    return (versions.c.tenant == tenant) & (versions.c.document_id == document_id)


@cache
def joined() -> Select[Any]:
    """Versions with the rights of their documents, deleted ones left out."""
    same = (versions.c.tenant == documents.c.tenant) & (versions.c.document_id == documents.c.id)
    rights = (documents.c.classification, documents.c.groups, documents.c.owners, documents.c.current_version)
    return select(versions, *rights).join_from(documents, versions, same & (versions.c.version > documents.c.erased_to))


def access_of(row: RowMapping) -> Access:
    """Who may read the document of this row."""
    return Access(row["classification"], frozenset(row["groups"]), frozenset(row["owners"]))


def version_of(row: RowMapping) -> Version:
    """A row of `joined`."""
    plain = {column.name: row[column.name] for column in versions.columns}
    return Version(**plain, access=access_of(row), is_current=row["version"] == row["current_version"])
