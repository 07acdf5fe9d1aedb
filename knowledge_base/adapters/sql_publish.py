"""Makes versions count, a batch of them with as many statements as one."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, bindparam, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from common.security.access import Access
from knowledge_base.adapters.sql_tables import access_of, documents, joined, versions
from knowledge_base.documents import Publication, Published, Validity
from knowledge_base.timeline import Timeline


async def publish(connection: AsyncConnection, published: Sequence[Published]) -> Publication:
    """See Catalog. Rights are read in this transaction: who changes them later finds the chunks in the index."""
    known = await _known(connection, published)
    ended: list[Validity] = []
    rights: list[Access | None] = []
    shown: list[dict[str, Any]] = []
    for item in published:
        document = known.get((item.tenant, item.document_id))
        if document is None or item.version not in document.published_at:
            rights.append(None)
            continue
        rights.append(document.access)
        ended += document.publish(item)
        shown.append({**_this(item), "title": item.title[:500], "text_key": item.text_key, "published_at": item.at})
    if shown:
        await connection.execute(update(versions).where(_SAME_VERSION), shown)
        current = [
            {"of_tenant": tenant, "of_id": i, "current_version": found.current} for (tenant, i), found in known.items()
        ]
        await connection.execute(update(documents).where(_SAME_DOCUMENT), current)
    if ended:
        over = [{**_this(item), "superseded_at": item.superseded_at} for item in ended]
        await connection.execute(update(versions).where(_SAME_VERSION), over)
    return Publication(ended, rights)


async def _known(connection: AsyncConnection, published: Sequence[Published]) -> dict[tuple[str, str], Timeline]:
    places = {(item.tenant, item.document_id) for item in published}
    these = tuple_(documents.c.tenant, documents.c.id).in_(sorted(places))
    # One after the other for each document: of two publications at once the second sees the first.
    await connection.execute(select(documents.c.id).where(these).order_by(documents.c.id).with_for_update())
    found = joined().where(these, documents.c.deleted_at.is_(None))
    known: dict[tuple[str, str], Timeline] = {}
    for row in (await connection.execute(found)).mappings():
        document = known.setdefault((row["tenant"], row["document_id"]), _document_of(row))
        document.published_at[row["version"]] = row["published_at"]
        document.superseded_at[row["version"]] = row["superseded_at"]
    return known


def _document_of(row: RowMapping) -> Timeline:
    return Timeline(access_of(row), row["current_version"])


def _this(item: Published | Validity) -> dict[str, Any]:
    return {"of_tenant": item.tenant, "of_id": item.document_id, "of_version": item.version}


_SAME_DOCUMENT = (documents.c.tenant == bindparam("of_tenant")) & (documents.c.id == bindparam("of_id"))
_SAME_VERSION = (
    (versions.c.tenant == bindparam("of_tenant"))
    & (versions.c.document_id == bindparam("of_id"))
    & (versions.c.version == bindparam("of_version"))
)
