"""What a change does to a document of the catalogue in MongoDB. Nothing is read or written here."""

from collections.abc import Sequence

from common.errors import Conflict
from common.jobs import new_batch
from common.security.access import Access, AccessScope
from knowledge_base.acceptance import Known, access_changes, after, answer, content_of, task_for
from knowledge_base.adapters.mongo_documents import (
    Row,
    access_of,
    facts_rows,
    living,
    metadata_text,
    new_row,
    set_current,
    set_rights,
    timeline_of,
    version_of,
)
from knowledge_base.adapters.mongo_jobs import job_row
from knowledge_base.documents import Accepted, Published, Stored, Task, Validity, Version


def accepted(
    row: Row | None, items: Sequence[Stored], caller: AccessScope, batch: str, operator: bool, at: float
) -> tuple[tuple[list[Accepted | Conflict | None], list[Row]], Row | None]:
    """Answers and jobs, and the document with the versions that were taken; None if there are none."""
    answers: list[Accepted | Conflict | None] = []
    jobs: list[Row] = []
    before = _known_of(row) if row else None
    for item in items:
        known = _known_of(row) if row else None
        found = answer(item, known, caller, batch, operator)
        if isinstance(found, Accepted) and found.batch:
            row = row or new_row(caller.tenant, item.document.document_id)
            row["versions"].append(_version_row(item, found.version, caller.subject, at))
            row |= {"latest": found.version, "deleted_at": None, "deleted_by": None}
            set_rights(row, after(item, found.version, known).access)
            jobs.append(job_row(batch, caller, task_for(item, found.version).payload))
        answers.append(found)
    if row is None or not jobs:
        return (answers, jobs), None
    if access_changes(before, access_of(row)):
        jobs.append(job_row(new_batch(), caller, Task("access", row["id"]).payload))
    row["outbox"] += jobs
    return (answers, jobs), row


def published_of(
    row: Row | None, items: Sequence[Published]
) -> tuple[tuple[list[Validity], list[Access | None]], Row | None]:
    """What ended, and rights, and the document with its times as they are now; None if it is gone."""
    if row is None or row["deleted_at"] is not None:
        return ([], [None for _ in items]), None
    times, ended, rights = timeline_of(row), list[Validity](), list[Access | None]()
    by_number = {version["version"]: version for version in living(row)}
    for item in items:
        if item.version not in by_number:
            rights.append(None)
            continue
        rights.append(times.access)
        ended += times.publish(item)
        by_number[item.version] |= {"title": item.title[:500], "text_key": item.text_key}
    for number, version in by_number.items():
        version |= {"published_at": times.published_at[number], "superseded_at": times.superseded_at[number]}
    set_current(row, times.current)
    return (ended, rights), row


def _known_of(row: Row) -> Known:
    last = next((version for version in row["versions"] if version["version"] == row["latest"]), None)
    return Known(
        life=row["life"],
        latest=row["latest"],
        is_current=row["current"] is not None and row["current"]["version"] == row["latest"],
        is_deleted=row["deleted_at"] is not None,
        access=access_of(row),
        content=content_of(last["object_key"], version_of(row, last).metadata) if last else content_of(None, None),
        title=last["title"] if last else "",
    )


def _version_row(item: Stored, number: int, created_by: str, at: float) -> Row:
    document = item.document
    return {
        "version": number,
        "document_id": document.document_id,
        "level": document.access.level,
        "title": document.title,
        "name": document.name,
        "object_key": item.object_key,
        "text_key": None,
        "metadata": metadata_text(document.metadata),
        "facts": facts_rows(document.metadata),
        "created_at": document.created_at or at,
        "created_by": created_by,
        "published_at": None,
        "superseded_at": None,
    }


def copied_row(version: Version) -> Row:
    """A version of another catalogue, as it is stored here."""
    names = ("version", "document_id", "title", "name", "object_key", "text_key", "created_at", "created_by")
    times = {"published_at": version.published_at, "superseded_at": version.superseded_at}
    values = {"metadata": metadata_text(version.metadata), "facts": facts_rows(version.metadata)}
    return {**{name: getattr(version, name) for name in names}, "level": version.access.level, **times, **values}
