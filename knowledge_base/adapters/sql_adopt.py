"""Takes over documents of another catalogue as they are."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from knowledge_base.adapters.sql_accept import write_rights
from knowledge_base.adapters.sql_filter import fact_rows, facts
from knowledge_base.adapters.sql_tables import documents, is_document, versions
from knowledge_base.documents import Version


async def adopt(connection: AsyncConnection, copied: Sequence[Version], life: int) -> bool:
    """See Catalog."""
    first = copied[0]
    this = is_document(first.tenant, first.document_id)
    if (await connection.execute(select(documents.c.id).where(this))).first() is not None:
        return False
    row: dict[str, Any] = {
        "tenant": first.tenant,
        "id": first.document_id,
        "current_version": next((version.version for version in copied if version.is_current), None),
        "latest_version": max(version.version for version in copied),
        "erased_to": life,
        "level": first.access.level,
        "classification": first.access.classification,
        "groups": [],
        "owners": [],
    }
    await connection.execute(insert(documents).values(**row))
    await write_rights(connection, first.tenant, {first.document_id: first.access})
    rows = [{column.name: getattr(version, column.name) for column in versions.columns} for version in copied]
    await connection.execute(insert(versions), [{**each, "metadata": dict(each["metadata"])} for each in rows])
    if values := [value for version in copied for value in fact_rows(version, version.version)]:
        await connection.execute(insert(facts), values)
    return True
