"""Takes documents into the catalogue, a group of them with as many statements as one."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from common.errors import Conflict
from common.jobs import new_batch
from common.jobs.sql_table import enqueue
from common.security.access import Access, AccessScope
from knowledge_base.acceptance import Known, access_changes, after, answer, content_of, moment, task_for
from knowledge_base.adapters.sql_filter import fact_rows, facts
from knowledge_base.adapters.sql_tables import access_of, documents, readers, versions
from knowledge_base.documents import Accepted, NewDocument, Stored, Task


async def accept(
    connection: AsyncConnection, offered: Sequence[Stored], caller: AccessScope, batch: str, operator: bool
) -> list[Accepted | Conflict | None]:
    """See Catalog."""
    before = await _known(connection, caller.tenant, [item.document.document_id for item in offered])
    now, taken = dict(before), list[tuple[Stored, int]]()
    answers: list[Accepted | Conflict | None] = []
    for item in offered:
        document_id = item.document.document_id
        found = answer(item, now.get(document_id), caller, batch, operator)
        if isinstance(found, Accepted) and found.batch:
            now[document_id] = after(item, found.version, now.get(document_id))
            taken.append((item, found.version))
        answers.append(found)
    if taken:
        await _write_documents(connection, caller.tenant, {i: now[i] for i in now if now[i] != before.get(i)}, before)
        at = moment()
        await connection.execute(insert(versions), [_version_row(*item, caller.subject, at) for item in taken])
        if values := [row for item, number in taken for row in fact_rows(item.document, number)]:
            await connection.execute(insert(facts), values)
        tasks = [task_for(item, number) for item, number in taken]
        await enqueue(connection, batch, caller.tenant, caller.subject, [task.payload for task in tasks])
        if told := [Task("access", i).payload for i, known in before.items() if access_changes(known, now[i].access)]:
            await enqueue(connection, new_batch(), caller.tenant, caller.subject, told)
    return answers


async def write_rights(connection: AsyncConnection, tenant: str, rights: Mapping[str, Access]) -> None:
    """Rights of documents that are there; they count from this moment, for versions that are already there, too."""
    this = (documents.c.tenant == tenant) & (documents.c.id == bindparam("this"))
    rows = [{"this": document_id, **_rights(access)} for document_id, access in rights.items()]
    await connection.execute(update(documents).where(this), rows)
    await connection.execute(delete(readers).where(readers.c.tenant == tenant, readers.c.document_id.in_(rights)))
    labels = [(document_id, label) for document_id, access in rights.items() for label in access.readers]
    owned = [{"tenant": tenant, "document_id": document_id, "label": label} for document_id, label in labels]
    await connection.execute(insert(readers), owned)


async def _known(connection: AsyncConnection, tenant: str, document_ids: Sequence[str]) -> dict[str, Known]:
    latest = (
        (versions.c.tenant == documents.c.tenant)
        & (versions.c.document_id == documents.c.id)
        & (versions.c.version == documents.c.latest_version)
    )
    columns = (documents, versions.c.object_key, versions.c.title, versions.c.metadata)
    found = select(*columns).outerjoin_from(documents, versions, latest)
    found = found.where(documents.c.tenant == tenant, documents.c.id.in_(document_ids))
    # Always in the same order, so that two groups never wait for each other.
    rows = (await connection.execute(found.order_by(documents.c.id).with_for_update(of=documents))).mappings().all()
    return {row["id"]: _known_of(row) for row in rows}


def _known_of(row: RowMapping) -> Known:
    return Known(
        life=row["erased_to"],
        latest=row["latest_version"],
        is_current=row["current_version"] == row["latest_version"],
        is_deleted=row["deleted_at"] is not None,
        access=access_of(row),
        content=content_of(row["object_key"], row["metadata"]),
        title=row["title"],
    )


async def _write_documents(
    connection: AsyncConnection, tenant: str, changed: Mapping[str, Known], before: Mapping[str, Known]
) -> None:
    state = {"deleted_at": None, "deleted_by": None}
    new = [
        {"tenant": tenant, "id": i, "latest_version": known.latest, "erased_to": 0, **state, **_rights(known.access)}
        for i, known in changed.items()
        if i not in before
    ]
    if new:
        await connection.execute(insert(documents), new)
    old = [{"this": i, "latest_version": known.latest, **state} for i, known in changed.items() if i in before]
    if old:
        this = (documents.c.tenant == tenant) & (documents.c.id == bindparam("this"))
        await connection.execute(update(documents).where(this), old)
    await write_rights(connection, tenant, {i: known.access for i, known in changed.items()})


def _rights(access: Access) -> dict[str, Any]:
    return {
        "level": access.level,
        "classification": access.classification,
        "groups": sorted(access.groups),
        "owners": sorted(access.owners),
    }


def _version_row(item: Stored, number: int, created_by: str, at: float) -> dict[str, Any]:
    document: NewDocument = item.document
    return {
        "tenant": document.tenant,
        "document_id": document.document_id,
        "version": number,
        "title": document.title,
        "name": document.name,
        "object_key": item.object_key,
        "metadata": dict(document.metadata),
        "created_at": document.created_at or at,
        "created_by": created_by,
    }
