"""Documents in and out, each caller's rights applied."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from common.errors import AppError, Denied, InvalidInput
from common.jobs import Job, new_batch
from common.jobs.intake import Intake
from common.paging import decode_cursor, encode_cursor
from common.security.access import LEVELS, Access, AccessScope
from common.settings import Classification
from knowledge_base.browsing import BY_ID, Facets, Sort, position_from
from knowledge_base.citations import Citation
from knowledge_base.comparison import Comparison, compare
from knowledge_base.documents import Accepted, Metadata, MetadataValue, NewDocument, Stored, Version
from knowledge_base.files import FileCheck
from knowledge_base.filter_syntax import MAX_TEXT, METADATA_PREFIX, is_number, is_text, parse_field
from knowledge_base.filters import Filter, Restriction
from knowledge_base.ports import Catalog, ObjectStore

DOCUMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
DoJob = Callable[[Job], Awaitable[None]]
"""Does a job at once, without a worker."""
OWN_SECONDS = 10.0
"""How long a change of rights has to reach the index before a worker takes it over."""
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
    start: int = 0
    """Where the text begins in the document, in characters."""


class Library:
    """Accepts, lists, fetches, compares, restores and deletes documents."""

    def __init__(self, catalog: Catalog, objects: ObjectStore, check: FileCheck, do: DoJob, intake: Intake) -> None:
        self._catalog = catalog
        self.intake = intake
        self._do = do
        self._objects = objects
        self._check_file = check

    async def add(
        self, document: NewDocument, caller: AccessScope, batch: str | None = None, operator: bool = False
    ) -> Accepted:
        """Take a document in: once this returns it is not lost, and soon it is searchable.

        `operator` is for the command line, whose user owns the data anyway: it replaces documents unseen.
        Raises Refused for an unusable file, InvalidInput, Denied, Conflict, Unavailable while there is no malware scan
        or too much waits to be worked on.
        """
        if not operator:
            await self.intake.admit()
        [accepted] = await self.add_all([document], caller, batch or new_batch(), operator)
        if isinstance(accepted, AppError):
            raise accepted
        return accepted

    async def add_all(
        self, documents: Sequence[NewDocument], caller: AccessScope, batch: str, operator: bool = False
    ) -> list[Accepted | AppError]:
        """Take a group of documents in, all in one transaction; for each what became of it, in order."""
        if not documents:
            return []
        answers = await asyncio.gather(*(self._checked(document, caller) for document in documents))
        # An id that is deleted while its bytes are being stored begins a new life, and they are stored again for it.
        while waiting := [place for place, answer in enumerate(answers) if answer is None]:
            offered = await self._store([documents[place] for place in waiting], caller.tenant)
            accepted = await self._catalog.accept(offered, caller, batch, operator)
            for place, item, answer in zip(waiting, offered, accepted, strict=True):
                answers[place] = answer
                if answer is None:
                    await self._objects.erase(caller.tenant, item.document.document_id, item.life)
        await self.intake.announce(sum(isinstance(answer, Accepted) and answer.batch is not None for answer in answers))
        return [answer for answer in answers if answer is not None]

    async def _checked(self, document: NewDocument, caller: AccessScope) -> Accepted | AppError | None:
        try:
            _check(document, caller)
            await self._check_access(document, caller)
            await self._check_file(document.name, document.data)
        except AppError as error:
            return error
        return None

    async def _check_access(self, document: NewDocument, caller: AccessScope) -> None:
        """A default is not what becomes of a document that is there, so it may be above the caller's clearance."""
        if document.access_is_default and document.access.level > caller.level:
            if await self._catalog.access(document.tenant, document.document_id) is not None:
                return
        _check_clearance(document.access, caller)

    async def _store(self, documents: Sequence[NewDocument], tenant: str) -> list[Stored]:
        """One put each: no erasure touches the objects of the life that a document is in."""
        lives = await self._catalog.lives(tenant, [document.document_id for document in documents])

        async def store(document: NewDocument) -> Stored:
            life = lives.get(document.document_id, 0)
            key = await self._objects.put(document.data, tenant, document.document_id, life)
            return Stored(document, key, life)

        return await asyncio.gather(*(store(document) for document in documents))

    async def fetch(self, document_id: str, scope: AccessScope, version: int | None = None) -> Fetched:
        """Whole text of a version, by default the current one. Raises NotFound."""
        found = await self._catalog.get(document_id, scope, version)
        return Fetched(found, (await self._objects.get(str(found.text_key))).decode())

    async def passage(self, citation: Citation, scope: AccessScope) -> Fetched:
        """The text that a citation names. Raises NotFound, InvalidInput if the version is shorter than it says."""
        whole = await self.fetch(citation.document_id, scope, citation.version)
        end = len(whole.text) if citation.end is None else citation.end
        if not citation.start <= end <= len(whole.text):
            raise InvalidInput(
                "The citation names more than there is.", "Use the citation of a search result as it is."
            )
        return Fetched(whole.version, whole.text[citation.start : end], citation.start)

    async def history(self, document_id: str, scope: AccessScope) -> list[Version]:
        """All versions of a document, newest first. Raises NotFound."""
        return await self._catalog.history(document_id, scope)

    async def compare(self, document_id: str, scope: AccessScope, old: int, new: int) -> Comparison:
        """What changed between two versions. Raises NotFound."""
        before, after = [await self.fetch(document_id, scope, number) for number in (old, new)]
        return await asyncio.to_thread(compare, before.version, before.text, after.version, after.text)

    async def restore(self, document_id: str, version: int, caller: AccessScope) -> Accepted:
        """Make an old version the newest again, as a new version; rights stay as they are. Raises NotFound."""
        old = await self._catalog.get(document_id, caller, version)
        data = await self._objects.get(old.object_key)
        document = NewDocument(old.tenant, document_id, old.name, data, old.access, old.title, old.metadata)
        return await self.add(replace(document, access_is_default=True), caller)

    async def set_access(self, document_id: str, access: Access, caller: AccessScope) -> None:
        """Change who may read a document. The very next search of any process knows. Raises NotFound, Denied."""
        _check_clearance(access, caller)
        job = await self._catalog.set_access(document_id, access, caller, new_batch(), OWN_SECONDS)
        # Taking rights away holds from here on. Giving them is complete once the index knows, too.
        await self._do(job)

    async def delete(self, document_id: str, caller: AccessScope) -> str:
        """Hide a document at once; returns the batch of the job that erases it. Raises NotFound."""
        batch = new_batch()
        await self._catalog.delete(document_id, caller, batch)
        await self.intake.announce(1)
        return batch

    async def page(
        self,
        scope: AccessScope,
        limit: int,
        cursor: str | None = None,
        where: Filter | None = None,
        sort: Sort = BY_ID,
    ) -> tuple[Sequence[Version], str | None]:
        """Documents in an order, and the cursor of the next page. Raises InvalidInput for another list's cursor."""
        question = ["list", where, sort, scope.tenant, scope.subject]
        after = position_from(decode_cursor(cursor, question, list)) if cursor else None
        found = await self._catalog.page(Restriction(scope, where=where), limit + 1, sort, after)
        page = [version for version, _ in found[:limit]]
        return page, encode_cursor(found[limit - 1][1], question) if len(found) > limit else None

    async def facets(
        self, scope: AccessScope, fields: Sequence[str] = (), where: Filter | None = None, top: int = 10
    ) -> Facets:
        """The metadata of the documents that the caller may read, counted."""
        return await self._catalog.facets(Restriction(scope, where=where), fields, top)


def metadata_from(value: Mapping[str, Any]) -> Metadata:
    """Check metadata: names to text, numbers, booleans or lists of text. Raises InvalidInput."""
    try:
        found = _METADATA.validate_python(dict(value), strict=True)
    except ValidationError:
        hint = "Use text, numbers, true/false or lists of text as values."
        raise InvalidInput("The metadata cannot be used.", hint) from None
    for name, item in found.items():
        parse_field(METADATA_PREFIX + name, "metadata")
        if not all(_storable(element) for element in (item if isinstance(item, list) else [item])):
            hint = f"Text has at most {MAX_TEXT} characters, numbers are finite."
            raise InvalidInput(f"The metadata of {name!r} cannot be used.", hint)
    return found


def _storable(value: MetadataValue) -> bool:
    return is_text(value, MAX_TEXT) if isinstance(value, str) else is_number(value)


def _check(document: NewDocument, caller: AccessScope) -> None:
    if not DOCUMENT_ID.fullmatch(document.document_id):
        hint = "Use up to 128 letters, digits, '.', '_', '~' or '-', beginning with a letter or digit."
        raise InvalidInput(f"The id {document.document_id[:50]!r} cannot be used.", hint)
    if document.tenant != caller.tenant or not caller.tenant:
        raise Denied("You can add documents to your own tenant only.")


def _check_clearance(access: Access, caller: AccessScope) -> None:
    if access.level > caller.level:
        most = next(name for name, level in LEVELS.items() if level == caller.level)
        what = f"You cannot classify a document above your own clearance ({most})."
        raise Denied(what, "Choose a lower one in `access`, if that is right.")
