"""Documents in and out, each caller's rights applied."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from common.errors import Denied, InvalidInput
from common.jobs import new_batch
from common.paging import decode_cursor, encode_cursor
from common.security.access import LEVELS, Access, AccessScope
from common.settings import Classification
from knowledge_base.documents import Accepted, Metadata, MetadataValue, NewDocument, Version
from knowledge_base.files import check_file
from knowledge_base.ports import Catalog, ObjectStore

DOCUMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_METADATA = TypeAdapter(dict[str, MetadataValue])


class AccessInput(BaseModel):
    """Who may read a document: clearance, and a group or owner if any is named."""

    classification: Classification = "internal"
    groups: list[str] = Field([], max_length=200)
    owners: list[str] = Field([], max_length=200)

    @property
    def access(self) -> Access:
        return Access(self.classification, frozenset(self.groups), frozenset(self.owners))


@dataclass(frozen=True)
class Fetched:
    """A version with its whole text."""

    version: Version
    text: str


class Library:
    """Accepts, lists and fetches documents."""

    def __init__(self, catalog: Catalog, objects: ObjectStore, max_file_bytes: int) -> None:
        self._catalog = catalog
        self._objects = objects
        self._max_file_bytes = max_file_bytes

    async def add(
        self, document: NewDocument, caller: AccessScope, batch: str | None = None, operator: bool = False
    ) -> Accepted:
        """Take a document in: once this returns it is not lost, and soon it is searchable.

        `operator` is for the command line, whose user owns the data anyway: it replaces documents unseen.
        Raises Refused for an unusable file, InvalidInput, Denied, Conflict.
        """
        _check(document, caller)
        check_file(document.name, document.data, self._max_file_bytes)
        key = await self._objects.put(document.data)
        return await self._catalog.accept(document, key, caller, batch or new_batch(), operator)

    async def fetch(self, document_id: str, scope: AccessScope, version: int | None = None) -> Fetched:
        """Whole text of a version, by default the current one. Raises NotFound."""
        found = await self._catalog.get(document_id, scope, version)
        return Fetched(found, (await self._objects.get(str(found.text_key))).decode())

    async def page(
        self, scope: AccessScope, limit: int, cursor: str | None = None
    ) -> tuple[Sequence[Version], str | None]:
        """Documents by id, and the cursor of the next page."""
        question = ["list", scope.tenant, scope.subject]
        after = decode_cursor(cursor, question, str) if cursor else ""
        found = await self._catalog.page(scope, limit + 1, after)
        page = found[:limit]
        return page, encode_cursor(page[-1].document_id, question) if len(found) > limit else None


def metadata_from(value: Mapping[str, Any]) -> Metadata:
    """Check metadata: names to text, numbers, booleans or lists of text. Raises InvalidInput."""
    try:
        return _METADATA.validate_python(dict(value), strict=True)
    except ValidationError:
        hint = "Use text, numbers, true/false or lists of text as values."
        raise InvalidInput("The metadata cannot be used.", hint) from None


def _check(document: NewDocument, caller: AccessScope) -> None:
    if not DOCUMENT_ID.fullmatch(document.document_id):
        hint = "Use up to 128 letters, digits, '.', '_', '~' or '-', beginning with a letter or digit."
        raise InvalidInput(f"The id {document.document_id[:50]!r} cannot be used.", hint)
    if document.tenant != caller.tenant or not caller.tenant:
        raise Denied("You can add documents to your own tenant only.")
    if document.access.level > caller.level:
        most = next(name for name, level in LEVELS.items() if level == caller.level)
        raise Denied(f"You cannot classify a document above your own clearance ({most}).")
