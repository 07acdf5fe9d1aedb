"""Follows a folder: what is new or changed is taken in, what vanished is deleted, and nothing else is touched.

Documents follow paths: a renamed file is a new document, which is there before the old one goes. Each step may be
repeated, so a run that was killed is simply run again.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.errors import AppError, Conflict, InvalidInput
from common.files import FileState, Folder, NotTaken, Refused, shown_path
from common.jobs import new_batch
from common.security.access import AccessScope
from knowledge_base.documents import FolderSource, KnownFile, NewDocument
from knowledge_base.files import SUFFIXES, check_kind, suffix_of
from knowledge_base.ingest import GROUP, Ingest, Outcome
from knowledge_base.ports import Catalog, SourceStore
from knowledge_base.sources import JSONL, Source, document_id_of, find_sources, read_source

MAX_VANISHED = 0.5
"""Share of a source that one run deletes without being forced to."""
_SETTLED_SECONDS = 2.0
"""A file may change again within the resolution of its times, so young ones are read again."""
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Seen:
    """A file that must be taken in, and what it was like when it was hashed."""

    source: Source
    state: FileState
    digest: str
    at: float


@dataclass
class Plan:
    """What a run does, or would do."""

    batch: str
    force: bool = False
    added: list[Seen] = field(default_factory=list)
    changed: list[Seen] = field(default_factory=list)
    touched: list[Seen] = field(default_factory=list)
    """Other times, the same content."""
    unchanged: int = 0
    vanished: list[str] = field(default_factory=list)
    refused: list[NotTaken] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    """Documents that were deleted."""
    kept: list[str] = field(default_factory=list)
    """Documents whose file vanished, but that somebody changed since."""
    outcomes: list[Outcome] = field(default_factory=list)


class FolderSync:
    """Brings the knowledge base to the state of a folder."""

    def __init__(self, ingest: Ingest, catalog: Catalog, store: SourceStore) -> None:
        self._ingest = ingest
        self._catalog = catalog
        self._store = store

    async def run(
        self, wanted: FolderSource, checksum: bool = False, force: bool = False, dry_run: bool = False
    ) -> Plan:
        """One pass. With `checksum` every file is read, whatever its times say.

        Raises InvalidInput for a root that is missing, empty or not the registered one, Conflict if too much vanished.
        """
        return await self.run_at(Path(wanted.root), (), wanted, checksum, force, dry_run)

    async def known(self, source: FolderSource) -> dict[str, KnownFile]:
        """The files that were taken in so far."""
        return await self._store.files(source)

    async def run_at(
        self,
        place: Path,
        refused: Sequence[NotTaken],
        wanted: FolderSource,
        checksum: bool = False,
        force: bool = False,
        dry_run: bool = False,
        before: Mapping[str, KnownFile] | None = None,
    ) -> Plan:
        """The same for files that are elsewhere than the root says; `refused` are there, and do not get so far.

        `before` was known when the files were listed: others are newer than the list, and did not vanish.
        """
        source = wanted if dry_run else await self._store.register(wanted)
        if (source.root, source.access) != (wanted.root, wanted.access):
            hint = "Use another name, or the same folder and access; set_access changes single documents."
            raise InvalidInput(f"The source {wanted.name} is {source.root} with other access.", hint)
        known = await self._store.files(source)
        with ExitStack() as stack:
            found = [*await asyncio.to_thread(find_sources, [(place, "")], self._ingest.rules, stack), *refused]
            plan = await asyncio.to_thread(_compare, source, found, known, checksum)
            if before is not None:
                plan.vanished = [path for path in plan.vanished if before.get(path) == known[path]]
            _brake(plan, found, known, force)
            plan.force = force
            if not dry_run:
                await self._carry_out(source, plan, known)
        return plan

    async def _carry_out(self, source: FolderSource, plan: Plan, known: dict[str, KnownFile]) -> None:
        scope = AccessScope(source.tenant, source.subject, source.access.groups, "restricted")
        own = {document_id for file in known.values() for document_id in file.document_ids}
        for item in plan.refused:
            plan.outcomes.append(await self._ingest.refuse(shown_path(item.relative), item.reason, scope, plan.batch))
        for seen in plan.touched:
            await self._store.put(source, replace(known[seen.source.path], state=seen.state, checked_at=seen.at))
        for seen in [*plan.added, *plan.changed]:
            await self._take_in(source, seen, known.get(seen.source.path), own, scope, plan)
        if plan.vanished:
            now = await self._store.files(source)
            # What another server has dropped or taken in meanwhile is its business.
            plan.vanished = [path for path in plan.vanished if now.get(path) == known[path]]
            left = {one for path, file in now.items() if path not in plan.vanished for one in file.document_ids}
        for path in plan.vanished:
            await self._delete([one for one in known[path].document_ids if one not in left], scope, plan)
            await self._store.drop(source, path)

    async def _take_in(
        self, source: FolderSource, seen: Seen, before: KnownFile | None, own: set[str], scope: AccessScope, plan: Plan
    ) -> None:
        """The ids are written down first: what a killed run took in still belongs to the source."""
        old = before.document_ids if before else ()
        new: list[str] = []
        is_whole = True
        if old and not plan.force and (reason := await self._brake_of_lines(source, seen, old)):
            plan.outcomes.append(await self._ingest.refuse(seen.source.name, reason, scope, plan.batch))
            return
        documents = read_source(seen.source, source.tenant, source.access, is_default=True)
        while group := await asyncio.to_thread(_group, documents):
            accepted, refused = await self._sort(source, group, own, seen.source)
            new += [item.document_id for _, item in accepted]
            file = KnownFile(seen.source.path, seen.state, "", seen.at, tuple(dict.fromkeys([*old, *new])))
            await self._store.put(source, file)
            outcomes = await self._ingest.accept_group(accepted, scope, plan.batch, operator=True) if accepted else []
            outcomes += [await self._ingest.refuse(name, reason, scope, plan.batch) for name, reason in refused]
            is_whole = is_whole and all(outcome.accepted for outcome in outcomes)
            plan.outcomes += outcomes
        own.update(new)
        if is_whole and new:
            await self._replace(source, seen, old, new, scope, plan)

    async def _brake_of_lines(self, source: FolderSource, seen: Seen, old: Sequence[str]) -> str:
        """Why nothing is taken in, before any of it counts: what a refused pass added would make the share smaller."""
        if suffix_of(seen.source.path) != JSONL:
            return ""
        there = await asyncio.to_thread(_ids, read_source(seen.source, source.tenant, source.access))
        gone = await self._gone(source, seen, old, there)
        if len(gone) <= MAX_VANISHED * len(old):
            return ""
        return f"{_share(len(gone), len(old), 'lines')}: none was deleted. If that is right, use --force."

    async def _gone(self, source: FolderSource, seen: Seen, old: Iterable[str], new: Iterable[str]) -> set[str]:
        files = (await self._store.files(source)).values()
        elsewhere = {one for other in files if other.path != seen.source.path for one in other.document_ids}
        return set(old) - set(new) - elsewhere

    async def _replace(
        self, source: FolderSource, seen: Seen, old: Sequence[str], new: Sequence[str], scope: AccessScope, plan: Plan
    ) -> None:
        """What the file has no more is deleted, unless that is so much that somebody may still be writing it."""
        gone = await self._gone(source, seen, old, new)
        if len(gone) > MAX_VANISHED * len(old) and not plan.force:  # it was rewritten since `_brake_of_lines`
            reason = f"{_share(len(gone), len(old), 'lines')}: none was deleted. If that is right, use --force."
            plan.outcomes.append(await self._ingest.refuse(seen.source.name, reason, scope, plan.batch))
            return
        await self._delete(sorted(gone), scope, plan)
        file = KnownFile(seen.source.path, seen.state, seen.digest, seen.at, tuple(dict.fromkeys(new)))
        await self._store.put(source, file)

    async def _sort(
        self, source: FolderSource, group: Sequence[NewDocument | Refused], own: set[str], file: Source
    ) -> tuple[list[tuple[str, NewDocument]], list[tuple[str, str]]]:
        """What may be accepted; and what may not, because it is somebody else's."""
        accepted: list[tuple[str, NewDocument]] = []
        refused: list[tuple[str, str]] = []
        for item in group:
            if isinstance(item, Refused):
                refused.append((file.name, item.message))
                continue
            current = await self._catalog.access(source.tenant, item.document_id)
            if current is not None and item.document_id not in own:
                refused.append((file.name, f"The id {item.document_id} is that of a document from elsewhere."))
            else:
                accepted.append((file.name, replace(item, keeps_folder=False)))  # it is of this source
        return accepted, refused

    async def _delete(self, document_ids: Iterable[str], scope: AccessScope, plan: Plan) -> None:
        for document_id in document_ids:
            if await self._catalog.access(scope.tenant, document_id) is None:
                continue
            newest = (scope.tenant, document_id, await self._catalog.latest(scope.tenant, document_id))
            version = (await self._catalog.versions([newest])).get(newest)
            if version and version.created_by == scope.subject:
                await self._catalog.delete(document_id, scope, plan.batch, operator=True)
                plan.deleted.append(document_id)
            else:
                plan.kept.append(document_id)


def _compare(
    source: FolderSource, found: Sequence[Source | NotTaken], known: dict[str, KnownFile], checksum: bool
) -> Plan:
    plan = Plan(new_batch())
    there: set[str] = set()
    for item in found:
        if isinstance(item, NotTaken):
            plan.refused.append(item)
            continue
        there.add(item.path)
        named = replace(item, name=f"{source.name}/{item.path}", place=document_id_of(source.root))
        _compare_one(named, known.get(item.path), checksum, plan)
    plan.vanished = sorted(path for path in known if path not in there and not _is_hidden_from(path, plan.refused))
    return plan


def _compare_one(item: Source, before: KnownFile | None, checksum: bool, plan: Plan) -> None:
    if before and not checksum and _is_settled(item.state, before):
        plan.unchanged += 1
        return
    try:
        if suffix_of(item.path) != JSONL:
            check_kind(item.path)
        at = time.time()
        digest, state = _digest(item.folder, item.path)
    except Refused as refused:
        plan.refused.append(NotTaken(item.path, refused.message))
        return
    seen = Seen(item, state, digest, at)
    if before and before.digest == digest:
        plan.touched.append(seen)
        plan.unchanged += 1
    else:
        (plan.changed if before else plan.added).append(seen)


def _is_settled(state: FileState, before: KnownFile) -> bool:
    newest = max(state.mtime_ns, state.ctime_ns) / 1e9
    return bool(before.digest) and state == before.state and newest < before.checked_at - _SETTLED_SECONDS


def _is_hidden_from(path: str, refused: Sequence[NotTaken]) -> bool:
    """Whether it may still be there, but cannot be seen."""
    return any(path == item.relative or (item.is_folder and path.startswith(f"{item.relative}/")) for item in refused)


def _digest(folder: Folder, path: str) -> tuple[str, FileState]:
    with folder.open(path) as (file, state):
        if suffix_of(path) in SUFFIXES:
            folder.check_size(path, state.size)
        digest = hashlib.sha256()
        left = state.size
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest(), state


def _brake(plan: Plan, found: Sequence[Source | NotTaken], known: dict[str, KnownFile], force: bool) -> None:
    if known and not found:
        raise InvalidInput("The folder is empty, and was not before: nothing was deleted.", "Is it mounted?")
    if len(plan.vanished) > MAX_VANISHED * len(known) and not force:
        what = f"{_share(len(plan.vanished), len(known), 'files')}: nothing was changed."
        raise Conflict(what, "If that is right, run it again with --force.")


def _share(gone: int, of: int, what: str) -> str:
    return f"{gone} of {of} {what} are gone, more than {MAX_VANISHED:.0%}"


def _ids(documents: Iterable[NewDocument | Refused]) -> set[str]:
    found: set[str] = set()
    with suppress(AppError):
        found.update(item.document_id for item in documents if isinstance(item, NewDocument))
    return found


def _group(documents: Iterable[NewDocument | Refused]) -> list[NewDocument | Refused]:
    group: list[NewDocument | Refused] = []
    try:
        for item in documents:
            group.append(item)
            if len(group) == GROUP:
                break
    except AppError as error:
        group.append(Refused(error.message))
    return group
