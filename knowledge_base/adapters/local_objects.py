"""Objects in a local folder (or, by another URL, in a bucket), each under its document and its own SHA-256."""

import asyncio
import contextlib
import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from common.errors import NotFound, Unavailable

_KEY = re.compile(r"([0-9a-f]{2})([0-9a-f]{30})-([0-9a-f]{64})")


class LocalObjects:
    """An object store at a folder or URL: `file://` here, `s3://`, `az://` and `gs://` by the same library."""

    def __init__(self, location: Path | str) -> None:
        self._location = location
        self._opened: Any = None

    async def put(self, data: bytes, tenant: str, document_id: str) -> str:
        """Store and return the key. A reader sees the whole object or none."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        owner = _digest(f"{tenant}\0{document_id}".encode())[:32]
        key = f"{owner}-{await asyncio.to_thread(_digest, data)}"
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
        if await asyncio.to_thread(_digest, data) != key.partition("-")[2]:
            raise Unavailable(f"The object {key} is damaged.", "The operator restores it from a backup.")
        return data

    async def delete(self, key: str) -> None:
        """Delete; nothing happens if there is no such object."""
        import obstore

        with contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(self._store(), _path(key))

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
    return "/".join(match.groups())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
