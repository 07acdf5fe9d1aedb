"""Copies a catalogue with its objects into other backends, as it is: versions, times, rights and lives."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import groupby

from common.errors import Conflict
from common.jobs import JobQueue
from knowledge_base.documents import Version
from knowledge_base.ports import Catalog, ObjectStore, SourceStore

PAGE = 200


@dataclass(frozen=True)
class Place:
    """One side of the copy."""

    catalog: Catalog
    queue: JobQueue
    sources: SourceStore
    objects: ObjectStore


async def migrate(source: Place, target: Place) -> AsyncIterator[bool]:
    """Yields for each document whether it was copied; one that is there already is left as it is.

    So it is safe to repeat. Raises Conflict while jobs of the source wait: what they are about would be left behind.
    """
    if waiting := await source.queue.pending():
        raise Conflict(f"{waiting} jobs wait.", "Let a worker finish them, and take in nothing meanwhile.")
    async for versions in _documents(source.catalog):
        first = versions[0]
        lives = await source.catalog.lives(first.tenant, [first.document_id])
        life = lives.get(first.document_id, 0)
        if await target.catalog.latest(first.tenant, first.document_id):
            yield False
            continue
        copied = [await _with_objects(version, life, source.objects, target.objects) for version in versions]
        yield await target.catalog.adopt(copied, life)
    for folder in await source.sources.registered():
        await target.sources.register(folder)
        for file in (await source.sources.files(folder)).values():
            await target.sources.put(folder, file)


async def _documents(catalog: Catalog) -> AsyncIterator[list[Version]]:
    """All published versions, document by document."""
    kept: list[Version] = []
    after = None
    while page := await catalog.published(after, PAGE):
        last = page[-1]
        after = (last.tenant, last.document_id, last.version)
        groups = [list(group) for _, group in groupby([*kept, *page], key=lambda each: (each.tenant, each.document_id))]
        for group in groups[:-1]:
            yield group
        kept = groups[-1]
    if kept:
        yield kept


async def _with_objects(version: Version, life: int, source: ObjectStore, target: ObjectStore) -> Version:
    """Its objects are put as if they were new, so that they are sealed if the target has a key."""
    keys = {}
    for name, key in (("object_key", version.object_key), ("text_key", str(version.text_key))):
        data = await source.get(key)
        keys[name] = await target.put(data, version.tenant, version.document_id, life)
    return replace(version, **keys)  # type: ignore[arg-type]
