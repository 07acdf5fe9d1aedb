"""A document of the catalogue as one document of MongoDB: rights, all versions, and jobs that are to be handed over.

So each change is one write of one document, which is whole or not at all, and needs no transaction. It counts only if
nobody changed the document since it was read (`rev`); else it is done again on what is there now.
"""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from common.errors import Unavailable
from common.security.access import Access, AccessScope
from knowledge_base.documents import Metadata, Version
from knowledge_base.filters import facts_of
from knowledge_base.timeline import Timeline

T = TypeVar("T")
Row = dict[str, Any]
TRIES = 50
_TEXT, _TIME = {"bsonType": "string"}, {"bsonType": ["double", "int", "long", "null"]}
_WHOLE = {"bsonType": ["int", "long"]}
_VERSION = {
    "bsonType": "object",
    "required": ["version", "object_key", "facts", "level", "document_id"],
    "properties": {"version": _WHOLE, "published_at": _TIME, "superseded_at": _TIME, "facts": {"bsonType": "array"}},
}
SCHEMA = {
    "bsonType": "object",
    "required": ["tenant", "id", "rev", "life", "latest", "level", "classification", "readers", "versions", "outbox"],
    "properties": {
        "tenant": _TEXT,
        "id": _TEXT,
        **dict.fromkeys(("rev", "life", "latest", "level"), _WHOLE),
        "classification": {"enum": ["public", "internal", "confidential", "restricted"]},
        "readers": {"bsonType": "array", "items": _TEXT},
        "versions": {"bsonType": "array", "items": _VERSION},
        "current": {"anyOf": [{"bsonType": "null"}, _VERSION]},
        "deleted_at": _TIME,
        "outbox": {"bsonType": "array", "items": {"bsonType": "object", "required": ["_id", "state"]}},
    },
}


async def changed(
    documents: Any, tenant: str, document_id: str, change: Callable[[Row | None], tuple[T, Row | None]]
) -> T:
    """Read a document, ask `change` for (answer, document to be written or None), and write that.

    `change` may alter what it is given, and may be called again. Raises Unavailable.
    """
    from pymongo.errors import DuplicateKeyError

    this = {"tenant": tenant, "id": document_id}
    for attempt in range(TRIES):
        row = await documents.find_one(this)
        rev = row["rev"] if row else 0
        answer, wanted = change(row)
        if wanted is None:
            return answer
        wanted["rev"] = rev + 1
        try:
            if rev == 0:
                await documents.insert_one(wanted)
                return answer
            if (await documents.replace_one({**this, "rev": rev}, wanted)).matched_count:
                return answer
        except DuplicateKeyError:
            pass  # somebody made it in between
        await asyncio.sleep(random.uniform(0, min(0.002 * 2**attempt, 0.2)))  # noqa: S311 - jitter
    raise Unavailable("The document is being changed by too many at once.", "Try again.", retry_after=1)


def new_row(tenant: str, document_id: str) -> Row:
    """A document before its first version."""
    row: Row = {"tenant": tenant, "id": document_id, "life": 0, "latest": 0, "current": None, "versions": []}
    return {**row, "deleted_at": None, "deleted_by": None, "outbox": []}


def set_rights(row: Row, access: Access) -> None:
    """Rights of the document, which count from this moment for all of its versions."""
    row |= {
        "level": access.level,
        "classification": access.classification,
        "groups": sorted(access.groups),
        "owners": sorted(access.owners),
        "readers": access.readers,
    }
    for version in row["versions"]:
        version["level"] = access.level
    set_current(row, row["current"] and row["current"]["version"])


def set_current(row: Row, number: int | None) -> None:
    """The current version, as a copy that queries find without looking through all of them."""
    row["current"] = next((dict(found) for found in row["versions"] if found["version"] == number), None)


def living(row: Row) -> list[Row]:
    """Versions that were not deleted."""
    return [version for version in row["versions"] if version["version"] > row["life"]]


def timeline_of(row: Row) -> Timeline:
    """The times of its versions."""
    current = row["current"]["version"] if row["current"] else None
    published = {version["version"]: version["published_at"] for version in living(row)}
    return Timeline(access_of(row), current, published, {v["version"]: v["superseded_at"] for v in living(row)})


def facts_rows(metadata: Metadata) -> list[Row]:
    """Metadata as typed values (k, t, v); `f` marks the first value of a key."""
    seen: set[str] = set()
    rows = []
    for fact in facts_of(metadata):
        rows.append({"k": fact.key, "t": fact.kind, "v": fact.value, "f": fact.key not in seen})
        seen.add(fact.key)
    return rows


def metadata_text(metadata: Metadata) -> str:
    """As it is kept: its names may hold dots and dollars, and its numbers are of any size."""
    return json.dumps(dict(metadata))


def access_of(row: Mapping[str, Any]) -> Access:
    """Who may read it."""
    return Access(row["classification"], frozenset(row["groups"]), frozenset(row["owners"]))


def version_of(row: Mapping[str, Any], version: Mapping[str, Any]) -> Version:
    """One of its versions."""
    names = ("title", "name", "object_key", "text_key", "created_at", "created_by", "published_at", "superseded_at")
    current = row["current"]
    return Version(
        tenant=row["tenant"],
        document_id=row["id"],
        version=version["version"],
        access=access_of(row),
        metadata=json.loads(version["metadata"]),
        is_current=current is not None and current["version"] == version["version"],
        **{name: version[name] for name in names},
    )


def readable(scope: AccessScope) -> Row:
    """The access rule. A deleted document has no readers."""
    return {"$and": [of_tenant(scope), within_clearance(scope), named_reader(scope)]}


def of_tenant(scope: AccessScope) -> Row:
    """Documents of the caller's tenant."""
    return {"tenant": scope.tenant}


def within_clearance(scope: AccessScope) -> Row:
    """Documents that the caller is cleared for."""
    return {"level": {"$lte": scope.level}}


def named_reader(scope: AccessScope) -> Row:
    """Documents that name nobody, a group of the caller, or the caller."""
    return {"readers": {"$in": scope.labels}}
