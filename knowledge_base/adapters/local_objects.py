"""Objects in a local folder (or, by another URL, in a bucket), each under its document and its own SHA-256."""

import asyncio
import contextlib
import hashlib
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from common.errors import NotFound, Unavailable

_KEY = re.compile(r"([0-9a-f]{32})-([0-9a-f]{64})")
_SMALL = 64 * 1024
"""Bytes that are hashed faster than a thread is asked to."""


class LocalObjects:
    """An object store at a folder or URL: `file://` here, `s3://`, `az://` and `gs://` by the same library."""

    def __init__(self, location: Path | str) -> None:
        self._location = location
        self._opened: Any = None

    async def put(self, data: bytes, tenant: str, document_id: str, life: int = 0) -> str:
        """Store and return the key. A reader sees the whole object or none."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        digest = _digest(data) if len(data) < _SMALL else await asyncio.to_thread(_digest, data)
        key = f"{_owner(tenant, document_id, life)}-{digest}"
        with contextlib.suppress(AlreadyExistsError):
            await obstore.put_async(self._store(), _path(key), data, mode="create")
        return key

    async def get(self, key: str) -> bytes:
        """The bytes; raises NotFound, and Unavailable if they are no longer what was stored."""
        import obstore

        path = _path(key)
        try:
            found = await obstore.get_async(self._store(), path)
            data = bytes(await found.bytes_async())
        except FileNotFoundError:
            raise NotFound(f"There is no object {key}.") from None
        found_digest = _digest(data) if len(data) < _SMALL else await asyncio.to_thread(_digest, data)
        if found_digest != key.partition("-")[2]:
            raise Unavailable(f"The object {key} is damaged.", "The operator restores it from a backup.")
        return data

    async def erase(self, tenant: str, document_id: str, life: int = 0) -> None:
        """Delete all objects of one life of a document."""
        import obstore

        store, place = self._store(), _place(_owner(tenant, document_id, life))
        async for found in obstore.list(store, place):
            with contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(store, [item["path"] for item in found])
        if (folder := _folder(self._location)) is not None:
            # A writer that was killed leaves a part of an object, which the store does not list.
            await asyncio.to_thread(shutil.rmtree, folder / place, ignore_errors=True)

    def _store(self) -> Any:
        if self._opened is None:
            from obstore.store import LocalStore, from_url

            folder = _folder(self._location)
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._opened = LocalStore(folder)
            else:
                self._opened = from_url(str(self._location))
        return self._opened


def _folder(location: Path | str) -> Path | None:
    if isinstance(location, Path):
        return location
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _path(key: str) -> str:
    match = _KEY.fullmatch(key)
    if match is None:
        raise NotFound("That is not the key of an object.")
    return f"{_place(match[1])}/{match[2]}"


def _owner(tenant: str, document_id: str, life: int) -> str:
    return _digest(f"{tenant}\0{document_id}\0{life}".encode())[:32]


def _place(owner: str) -> str:
    """The folder of all objects of an owner."""
    return f"{owner[:2]}/{owner[2:]}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
