"""Files that somebody hands in: the same checks as for folders, in ids of their own."""

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from anyio import CancelScope

from common.errors import AppError
from common.files import Refused, shown, unusable
from common.jobs import new_batch
from common.security.access import Access, AccessScope
from knowledge_base.documents import NewDocument
from knowledge_base.files import check_kind
from knowledge_base.ingest import Ingest, Outcome, Tally, WriteRecord
from knowledge_base.sources import document_id_of

AT_ONCE = 2
"""Files that are in memory at the same time, whoever sent them."""
MAX_NAME = 255


@dataclass(frozen=True)
class Upload:
    """A file that was received, still on disk; `size` in bytes."""

    name: str
    size: int
    read: Callable[[], Awaitable[bytes]]


class Uploads:
    """Accepts files into the library."""

    def __init__(self, ingest: Ingest, audit: WriteRecord) -> None:
        self._ingest = ingest
        self._audit = audit
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def take(self, files: Sequence[Upload], caller: AccessScope, access: Access) -> tuple[str, list[Outcome]]:
        """Accept or refuse each; returns the batch, and what became of them in order. Raises Unavailable."""
        await self._ingest.admit(len(files))
        batch, tally, outcomes = new_batch(), Tally(), list[Outcome]()
        try:
            for file in files:
                async with self._turn:
                    outcome = await self._take(file, caller, access, batch)
                tally.add(outcome)
                outcomes.append(outcome)
        finally:
            with CancelScope(shield=True):
                await self._audit(tally.record("files_taken_in", caller, job_id=batch, source="upload"))
        return batch, outcomes

    async def _take(self, file: Upload, caller: AccessScope, access: Access, batch: str) -> Outcome:
        # Some browsers send a path; and one system composes letters and accents where another one does not.
        name = unicodedata.normalize("NFC", file.name.replace("\\", "/").rpartition("/")[2])
        try:
            self._check(name, file.size)
        except AppError as error:
            return await self._ingest.refuse(shown(name), str(error), caller, batch)
        document = NewDocument(
            tenant=caller.tenant,
            document_id=upload_id(name),
            name=name,
            data=await file.read(),
            access=access,
            metadata={"source": f"upload/{name}"},
            keeps_access=True,
        )
        [outcome] = await self._ingest.accept_group([(name, document)], caller, batch)
        return outcome

    def _check(self, name: str, size: int) -> None:
        if reason := unusable(name):
            raise Refused(f"{shown(name)} {reason}")
        if len(name) > MAX_NAME:
            raise Refused(f"{shown(name)} has a name of more than {MAX_NAME} characters: rename it")
        check_kind(name)
        if size > (limit := self._ingest.rules.max_bytes):
            raise Refused(f"{shown(name)} is larger than {limit / 1_048_576:.3g} MB: split it, or raise the limit")


def upload_id(name: str) -> str:
    """The id of an uploaded file. Ids of files in folders hold no dot, so it is never one of theirs."""
    return f"upload.{document_id_of(name)}"
