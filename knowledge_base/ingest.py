"""Takes folders in: every file is accepted or refused, one by one."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import AppError, Denied, InvalidInput
from common.files import resolve_inside
from common.jobs import JobQueue, new_batch
from common.security.access import Access, AccessScope
from knowledge_base.documents import Accepted, NewDocument
from knowledge_base.library import Library
from knowledge_base.sources import Source, find_sources, read_source

MAX_FILES = 500
"""Files that one call of start_ingest takes."""
GROUP, GROUP_BYTES = 64, 8 * 1024 * 1024
"""Documents that share one transaction: at most so many, and no further one once they have so many bytes."""


@dataclass(frozen=True)
class Outcome:
    """What became of one document of a source."""

    name: str
    accepted: Accepted | None
    refused: str = ""


class Ingest:
    """Accepts sources into the library."""

    def __init__(self, library: Library, queue: JobQueue, allowed: Sequence[Path], max_bytes: int) -> None:
        self._library = library
        self._queue = queue
        self._allowed = allowed
        self._max_bytes = max_bytes

    async def start(self, paths: Sequence[str], caller: AccessScope, access: Access) -> str:
        """Accept files of the allowed folders; returns the batch. Raises Denied, InvalidInput."""
        if not self._allowed:
            raise Denied("This server may read no folders.", "The operator names them in KB_ALLOWED_PATHS.")
        sources = find_sources([resolve_inside(path, self._allowed) for path in paths])
        if not 0 < len(sources) <= MAX_FILES:
            hint = "Name smaller folders, or let the operator use `triptych ingest`."
            raise InvalidInput(f"There are {len(sources)} files; a call takes 1 to {MAX_FILES}.", hint)
        batch = new_batch()
        async for _ in self.accept(sources, caller, access, batch):
            pass
        return batch

    async def accept(
        self, sources: Sequence[Source], caller: AccessScope, access: Access, batch: str, operator: bool = False
    ) -> AsyncIterator[Outcome]:
        """Accept the documents of the sources, in groups; what is refused is recorded in the batch, too."""
        group: list[tuple[str, NewDocument]] = []
        for source in sources:
            for item in read_source(source, caller.tenant, access, self._max_bytes):
                if isinstance(item, AppError):
                    yield await self._refused(source.relative, item, caller, batch)
                    continue
                of_line = item.name != source.path.name
                group.append((f"{source.relative}:{item.document_id}" if of_line else source.relative, item))
                if len(group) == GROUP or sum(len(document.data) for _, document in group) > GROUP_BYTES:
                    for outcome in await self._accept(group, caller, batch, operator):
                        yield outcome
                    group = []
        for outcome in await self._accept(group, caller, batch, operator):
            yield outcome

    async def _accept(
        self, group: Sequence[tuple[str, NewDocument]], caller: AccessScope, batch: str, operator: bool
    ) -> list[Outcome]:
        answers = await self._library.add_all([document for _, document in group], caller, batch, operator)
        return [
            await self._outcome(name, answer, caller, batch) for (name, _), answer in zip(group, answers, strict=True)
        ]

    async def _outcome(self, name: str, answer: Accepted | AppError, caller: AccessScope, batch: str) -> Outcome:
        if isinstance(answer, AppError):
            return await self._refused(name, answer, caller, batch)
        if answer.batch is None:
            unchanged = {"document_id": answer.document_id, "version": answer.version, "name": name}
            await self._queue.record(batch, caller.tenant, caller.subject, unchanged, "done")
        return Outcome(name, answer)

    async def _refused(self, name: str, error: AppError, caller: AccessScope, batch: str) -> Outcome:
        payload = {"document_id": name, "name": name}
        await self._queue.record(batch, caller.tenant, caller.subject, payload, "failed", str(error))
        return Outcome(name, None, str(error))
