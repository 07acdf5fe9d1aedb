"""What becomes of a document that is offered to the catalogue; catalogues ask, and write what it says."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import Conflict
from common.security.access import ANYONE, Access, AccessScope, may_read
from knowledge_base.documents import FOLDER, Accepted, NewDocument, Stored, Task


@dataclass(frozen=True)
class Known:
    """A document as the catalogue has it, or will have it once all that was offered is written."""

    life: int
    latest: int
    is_current: bool
    is_deleted: bool
    access: Access
    content: tuple[str, str]
    title: str


def answer(
    item: Stored, known: Known | None, caller: AccessScope, batch: str, operator: bool
) -> Accepted | Conflict | None:
    """See Catalog.accept; it is to be written exactly if the answer has a batch."""
    document = item.document
    if known and not operator and (known.is_deleted or not may_read(caller, caller.tenant, known.access)):
        return Conflict(f"The id {document.document_id} cannot be used.", "Choose another one.")
    if known and document.keeps_access and known.access != document.access:
        return _other_access(known.access)
    if known and not known.is_deleted and document.keeps_folder and (folder := _other_folder(document, known)):
        return _from_elsewhere(document.document_id, folder)
    if item.life != (known.life if known else 0):
        return None
    if known and _unchanged(item, known):
        return Accepted(document.document_id, known.latest, None)
    return Accepted(document.document_id, known.latest + 1 if known else 1, batch)


def after(item: Stored, number: int, known: Known | None) -> Known:
    """The document once this version of it is written."""
    document = item.document
    content = content_of(item.object_key, document.metadata)
    return Known(item.life, number, False, False, _access(item, known), content, document.title)


def access_changes(before: Known | None, access: Access) -> bool:
    """Whether the index is to be told: it has chunks of earlier versions, which know other rights."""
    return before is not None and not before.is_deleted and before.access != access


def task_for(item: Stored, number: int) -> Task:
    """The job of an accepted version."""
    return Task("ingest", item.document.document_id, number, item.document.name, item.life)


def moment() -> float:
    """One time for a group: what was taken in together replaces what was there together.

    Whole milliseconds, as answers show them: the time that somebody reads is a time that as_of knows.
    """
    return int(time.time() * 1000) / 1000


def content_of(object_key: str | None, metadata: Mapping[str, Any] | None) -> tuple[str, str]:
    """By which contents are compared: as JSON, because 1 and true are equal in Python."""
    return str(object_key), json.dumps(dict(metadata or {}), sort_keys=True)


def _access(item: Stored, known: Known | None) -> Access:
    """Who may read the document from then on. Asked while it is locked, so that no revocation is undone."""
    if known and not known.is_deleted and item.document.access_is_default:
        return known.access
    return item.document.access


def _other_access(access: Access) -> Conflict:
    who = ", ".join(label.partition(":")[2] for label in access.readers if label != ANYONE) or "everybody"
    what = f"The document is there already, with other access: {access.classification}, {who}."
    return Conflict(what, "Choose the same, or change that of the document first (set_access).")


def _other_folder(document: NewDocument, known: Known) -> Any:
    folder = json.loads(known.content[1]).get(FOLDER)
    return None if folder == document.metadata.get(FOLDER) else folder


def _from_elsewhere(document_id: str, folder: Any) -> Conflict:
    hint = (
        "Name the folder above both, or give this one a name: triptych ingest FOLDER --sync --name NAME. "
        "If it only moved: triptych ingest FOLDER --force."
    )
    return Conflict(f"The id {document_id} is that of a file of the same name in another folder ({folder}).", hint)


def _unchanged(item: Stored, known: Known) -> bool:
    return (
        known.is_current
        and known.access == _access(item, known)
        and known.content == content_of(item.object_key, item.document.metadata)
        and item.document.title in ("", known.title)
    )
