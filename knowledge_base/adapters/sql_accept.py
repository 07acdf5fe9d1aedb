"""Takes documents into the catalogue, a group of them with as many statements as one."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from common.errors import Conflict
from common.jobs.sql_table import enqueue
from common.security.access import ANYONE, Access, AccessScope, may_read
from knowledge_base.adapters.sql_filter import fact_rows, facts
from knowledge_base.adapters.sql_tables import access_of, documents, readers, versions
from knowledge_base.documents import Accepted, NewDocument, Stored, Task


@dataclass(frozen=True)
class _Known:
    """A document as the catalogue has it, or will have it at the end of the transaction."""

    life: int
    latest: int
    is_current: bool
    is_deleted: bool
    access: Access
    content: tuple[str, str]
    title: str


async def accept(
    connection: AsyncConnection, offered: Sequence[Stored], caller: AccessScope, batch: str, operator: bool
) -> list[Accepted | Conflict | None]:
    """See Catalog."""
    before = await _known(connection, caller.tenant, [item.document.document_id for item in offered])
    now, taken = dict(before), list[tuple[Stored, int]]()
    answers: list[Accepted | Conflict | None] = []
    for item in offered:
        document = item.document
        known = now.get(document.document_id)
        if known and not operator and (known.is_deleted or not may_read(caller, caller.tenant, known.access)):
            answers.append(Conflict(f"The id {document.document_id} cannot be used.", "Choose another one."))
        elif known and document.keeps_access and known.access != document.access:
            answers.append(_other_access(known.access))
        elif item.life != (known.life if known else 0):
            answers.append(None)
        elif known and _unchanged(item, known):
            answers.append(Accepted(document.document_id, known.latest, None))
        else:
            number = known.latest + 1 if known else 1
            now[document.document_id] = _after(item, number)
            taken.append((item, number))
            answers.append(Accepted(document.document_id, number, batch))
    if taken:
        await _write_documents(connection, caller.tenant, {i: now[i] for i in now if now[i] != before.get(i)}, before)
        # One time for the group: what was taken in together replaces what was there together. Whole milliseconds, as
        # answers show them: the time that somebody reads is a time that as_of knows.
        at = int(time.time() * 1000) / 1000
        await connection.execute(insert(versions), [_version_row(*item, caller.subject, at) for item in taken])
        if values := [row for item, number in taken for row in fact_rows(item.document, number)]:
            await connection.execute(insert(facts), values)
        tasks = [Task("ingest", i.document.document_id, number, i.document.name, i.life) for i, number in taken]
        await enqueue(connection, batch, caller.tenant, caller.subject, [task.payload for task in tasks])
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


async def _known(connection: AsyncConnection, tenant: str, document_ids: Sequence[str]) -> dict[str, _Known]:
    latest = (
        (versions.c.tenant == documents.c.tenant)
        & (versions.c.document_id == documents.c.id)
        & (versions.c.version == documents.c.latest_version)
    )
    columns = (documents, versions.c.object_key, versions.c.title, versions.c.metadata)
    found = select(*columns).outerjoin_from(documents, versions, latest)
    found = found.where(documents.c.tenant == tenant, documents.c.id.in_(document_ids))
    rows = (await connection.execute(found.with_for_update(of=documents))).mappings().all()
    return {row["id"]: _known_of(row) for row in rows}


def _known_of(row: RowMapping) -> _Known:
    return _Known(
        life=row["erased_to"],
        latest=row["latest_version"],
        is_current=row["current_version"] == row["latest_version"],
        is_deleted=row["deleted_at"] is not None,
        access=access_of(row),
        content=_content(row["object_key"], row["metadata"]),
        title=row["title"],
    )


def _other_access(access: Access) -> Conflict:
    who = ", ".join(label.partition(":")[2] for label in access.readers if label != ANYONE) or "everybody"
    what = f"The document is there already, with other access: {access.classification}, {who}."
    return Conflict(what, "Choose the same, or change that of the document first (set_access).")


def _unchanged(item: Stored, known: _Known) -> bool:
    return (
        known.is_current
        and known.access == item.document.access
        and known.content == _content(item.object_key, item.document.metadata)
        and item.document.title in ("", known.title)
    )


def _after(item: Stored, number: int) -> _Known:
    document = item.document
    content = _content(item.object_key, document.metadata)
    return _Known(item.life, number, False, False, document.access, content, document.title)


def _content(object_key: str | None, metadata: Mapping[str, Any] | None) -> tuple[str, str]:
    # As JSON, because 1 and true are equal in Python.
    return str(object_key), json.dumps(dict(metadata or {}), sort_keys=True)


async def _write_documents(
    connection: AsyncConnection, tenant: str, changed: Mapping[str, _Known], before: Mapping[str, _Known]
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
