"""Takes files in: every file is accepted or refused, one by one, and the audit log knows what became of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from anyio import CancelScope

from common.errors import AppError, Denied, InvalidInput
from common.files import FileRules, NotTaken, NotThere, Refused, locate, not_allowed, shown_path
from common.jobs import JobQueue, new_batch
from common.observability.call import new_request_id, request_id
from common.security.access import Access, AccessScope
from common.security.audit import AuditRecord
from knowledge_base.documents import Accepted, NewDocument
from knowledge_base.library import Library
from knowledge_base.sources import Source, find_sources, read_source

MAX_FILES = 500
"""Files that one call of start_ingest takes."""
GROUP, GROUP_BYTES = 64, 8 * 1024 * 1024
"""Documents that share one transaction: at most so many, and no further one once they have so many bytes."""
NAMES = 20
"""Names of refused files that the audit log keeps; the job has all of them."""
WriteRecord = Callable[[AuditRecord], Awaitable[None]]
log = structlog.get_logger(__name__)


async def unrecorded(record: AuditRecord) -> None:
    """For commands that keep their own records, or take in nothing that others put somewhere."""


@dataclass(frozen=True)
class Outcome:
    """What became of one document of a source."""

    name: str
    accepted: Accepted | None
    refused: str = ""


@dataclass
class Tally:
    """What became of all of them."""

    accepted: int = 0
    unchanged: int = 0
    refused: int = 0
    refused_names: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        if outcome.accepted is None:
            self.refused += 1
            if len(self.refused_names) < NAMES:
                self.refused_names.append(f"{outcome.name}: {outcome.refused}"[:200])
        elif outcome.accepted.batch is None:
            self.unchanged += 1
        else:
            self.accepted += 1

    def record(self, action: str, caller: AccessScope, **more: Any) -> AuditRecord:
        """As it is audited."""
        outcome = "refused" if self.refused and not self.accepted + self.unchanged else "ok"
        request = request_id.get() or new_request_id()
        detail = {**more, **vars(self)}
        return AuditRecord("event", action, request, caller.subject, caller.tenant, outcome=outcome, detail=detail)


class Ingest:
    """Accepts sources into the library."""

    def __init__(
        self, library: Library, queue: JobQueue, allowed: Sequence[Path], rules: FileRules, audit: WriteRecord
    ) -> None:
        self._library = library
        self._queue = queue
        self._allowed = allowed
        self._audit = audit
        self.rules = rules

    async def start(self, paths: Sequence[str], caller: AccessScope, access: Access, is_default: bool = False) -> str:
        """Accept files of the allowed folders; returns the batch. `is_default`: who may read what is there stays.

        Raises Denied, InvalidInput, Unavailable."""
        if not self._allowed:
            raise Denied("This server may read no folders.", "The operator names them in KB_ALLOWED_PATHS.")
        places = [locate(path, self._allowed) for path in paths]
        with ExitStack() as stack:
            try:
                sources = await asyncio.to_thread(find_sources, places, self.rules, stack)
            except NotThere:
                raise not_allowed(", ".join(paths)) from None
            if not 0 < len(sources) <= MAX_FILES:
                hint = "Name smaller folders, or let the operator use `triptych ingest`."
                raise InvalidInput(f"There are {len(sources)} files; a call takes 1 to {MAX_FILES}.", hint)
            await self.admit(len(sources))
            batch, tally = new_batch(), Tally()
            try:
                async for outcome in self.accept(sources, caller, access, batch, is_default=is_default):
                    tally.add(outcome)
            finally:
                # What was accepted stays so, if the call's time is over meanwhile, or its caller gives it up.
                with CancelScope(shield=True):
                    await self._audit(tally.record("files_taken_in", caller, job_id=batch))
        return batch

    async def admit(self, count: int) -> None:
        """Raises Unavailable while too much waits to be worked on."""
        await self._library.intake.admit(count)

    async def accept(
        self,
        sources: Sequence[Source | NotTaken],
        caller: AccessScope,
        access: Access,
        batch: str,
        operator: bool = False,
        is_default: bool = False,
        force: bool = False,
    ) -> AsyncIterator[Outcome]:
        """Accept the documents of the sources, in groups; what is refused is recorded in the batch, too.

        With `force` they take the place of those of another folder.
        """
        group: list[tuple[str, NewDocument]] = []
        for source in sources:
            if isinstance(source, NotTaken):
                yield await self.refuse(shown_path(source.relative), source.reason, caller, batch)
                continue
            documents = read_source(source, caller.tenant, access, is_default)
            while (item := await asyncio.to_thread(_next, documents)) is not None:
                if isinstance(item, Refused):
                    yield await self.refuse(source.name, item.message, caller, batch)
                    continue
                group.append((_name_of(source, item), replace(item, keeps_folder=item.keeps_folder and not force)))
                if len(group) == GROUP or sum(len(document.data) for _, document in group) > GROUP_BYTES:
                    for outcome in await self.accept_group(group, caller, batch, operator):
                        yield outcome
                    group = []
        for outcome in await self.accept_group(group, caller, batch, operator):
            yield outcome

    async def accept_group(
        self, group: Sequence[tuple[str, NewDocument]], caller: AccessScope, batch: str, operator: bool = False
    ) -> list[Outcome]:
        """Accept named documents in one transaction. One that makes it fail is found, so that the others get in."""
        try:
            answers = await self._library.add_all([document for _, document in group], caller, batch, operator)
        except Exception as error:
            log.error("ingest.accept_failed", names=[name for name, _ in group], exc_info=error)
            if len(group) == 1:
                return [await self.refuse(group[0][0], "It could not be taken in; see the log.", caller, batch)]
            return [one for item in group for one in await self.accept_group([item], caller, batch, operator)]
        return [
            await self._outcome(name, answer, caller, batch) for (name, _), answer in zip(group, answers, strict=True)
        ]

    async def _outcome(self, name: str, answer: Accepted | AppError, caller: AccessScope, batch: str) -> Outcome:
        if isinstance(answer, AppError):
            return await self.refuse(name, str(answer), caller, batch)
        if answer.batch is None:
            unchanged = {"document_id": answer.document_id, "version": answer.version, "name": name}
            await self._queue.record(batch, caller.tenant, caller.subject, unchanged, "done")
        return Outcome(name, answer)

    async def refuse(self, name: str, reason: str, caller: AccessScope, batch: str) -> Outcome:
        """Record in the batch that a file is not taken in."""
        await self._queue.record(
            batch, caller.tenant, caller.subject, {"document_id": name, "name": name}, "failed", reason
        )
        return Outcome(name, None, reason)


def _name_of(source: Source, document: NewDocument) -> str:
    of_line = document.name != source.path.rpartition("/")[2]
    return f"{source.name}:{document.document_id}"[:300] if of_line else source.name


def _next(documents: Iterator[NewDocument | Refused]) -> NewDocument | Refused | None:
    try:
        return next(documents, None)
    except Refused as refused:
        # A generator that raised is at its end: the next call gives None.
        return refused
