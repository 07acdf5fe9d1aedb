"""A prefix of a bucket as a source: what changed by ETag is fetched into a folder, and that folder is followed.

The folder is a copy that may be lost: then everything is fetched again, found to be the same, and left alone.
"""

import asyncio
import fcntl
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from common.errors import InvalidInput, NotFound
from common.files import NotTaken, unusable
from knowledge_base.documents import FolderSource
from knowledge_base.sync import FolderSync, Plan

SCHEMES = ("s3://", "az://")
Etags = dict[str, str]


@dataclass(frozen=True)
class BucketObject:
    """An object below the prefix; its `etag` changes with its content."""

    key: str
    etag: str
    size: int


class Bucket(Protocol):
    """What a source needs of an object store."""

    def objects(self) -> AsyncIterator[BucketObject]:
        """All of them. Raises Unavailable, never a part of the list."""

    async def read(self, key: str) -> bytes:
        """The bytes. Raises NotFound, Unavailable."""


class BucketSync:
    """Brings the knowledge base to the state of a bucket's prefix; `open` opens a URL."""

    def __init__(self, sync: FolderSync, folder: Path, open: Callable[[str], Bucket], max_bytes: int) -> None:
        self._sync = sync
        self._folder = folder
        self._open = open
        self._max_bytes = max_bytes

    async def run(
        self, source: FolderSource, checksum: bool = False, force: bool = False, dry_run: bool = False
    ) -> Plan:
        """One pass, as of a folder: see FolderSync.run; `source.root` is the URL. Raises Unavailable, too."""
        async with self._turn(source.root) as mirror:
            # Before the bucket is listed: what another machine takes in from now on is not missing in the list.
            before = await self._sync.known(source)
            refused = await self._bring_up_to_date(self._open(source.root), mirror)
            return await self._sync.run_at(mirror / "files", refused, source, checksum, force, dry_run, before)

    @asynccontextmanager
    async def mirrored(self, url: str) -> AsyncIterator[tuple[Path, list[NotTaken]]]:
        """The objects as files of a folder, and what is not taken. Nobody else changes it meanwhile."""
        async with self._turn(url) as mirror:
            yield mirror / "files", await self._bring_up_to_date(self._open(url), mirror)

    @asynccontextmanager
    async def _turn(self, url: str) -> AsyncIterator[Path]:
        if not url.startswith(SCHEMES) or not url.partition("://")[2].strip("/"):
            raise InvalidInput(f"{url[:200]} names no bucket.", "Write s3://bucket/prefix or az://container/prefix.")
        mirror = self._folder / hashlib.sha256(url.encode()).hexdigest()[:32]
        (mirror / "files").mkdir(parents=True, exist_ok=True, mode=0o700)
        with (mirror / "lock").open("w") as lock:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            yield mirror

    async def _bring_up_to_date(self, bucket: Bucket, mirror: Path) -> list[NotTaken]:
        known, refused = _etags(mirror), list[NotTaken]()
        # The whole list comes first: from half a list everything else would look deleted.
        there = {item.key: item async for item in bucket.objects()}
        for key in sorted(known.keys() - there.keys()):
            await asyncio.to_thread(_remove, mirror / "files", key)
            known.pop(key)
        try:
            for key in sorted(there):
                reason = self._reason(there[key]) or await self._fetch(bucket, there[key], mirror / "files", known)
                if reason:
                    refused.append(NotTaken(key, reason))
        finally:
            await asyncio.to_thread(_remember, mirror, known)
        return refused

    def _reason(self, item: BucketObject) -> str | None:
        if item.size > self._max_bytes:
            return f"is larger than {self._max_bytes / 1_048_576:.3g} MB: split it, or raise the limit"
        return unusable(item.key)

    async def _fetch(self, bucket: Bucket, item: BucketObject, files: Path, known: Etags) -> str | None:
        """Why it cannot be had, or None."""
        if known.get(item.key) == item.etag and (files / item.key).is_file():
            return None
        try:
            await asyncio.to_thread(_write, files, item.key, await bucket.read(item.key))
        except NotFound:
            return "was deleted while the bucket was read"
        except (NotADirectoryError, IsADirectoryError, FileExistsError):
            return "has the name of a folder, or of a file that others are below"
        # The one of the list: if the object has changed since, it is fetched once more.
        known[item.key] = item.etag
        return None


def _write(files: Path, key: str, data: bytes) -> None:
    path = files / key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = files.parent / "draft"
    draft.write_bytes(data)
    draft.chmod(0o600)
    draft.replace(path)


def _remove(files: Path, key: str) -> None:
    path = files / key
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == files:
            break
        try:
            folder.rmdir()
        except OSError:
            break  # others are in it


def _etags(mirror: Path) -> Etags:
    try:
        found = json.loads((mirror / "etags.json").read_text())
    except (OSError, ValueError):
        # Without it nothing is known of the files, so none of them stays.
        shutil.rmtree(mirror / "files", ignore_errors=True)
        (mirror / "files").mkdir(mode=0o700, exist_ok=True)
        return {}
    return {str(key): str(etag) for key, etag in found.items()}


def _remember(mirror: Path, known: Etags) -> None:
    draft = mirror / "etags.draft"
    draft.write_text(json.dumps(known))
    draft.replace(mirror / "etags.json")
