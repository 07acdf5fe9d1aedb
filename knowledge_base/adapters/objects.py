"""Objects in a folder, an S3 bucket or an Azure container, each under its document and its own SHA-256.

With a key everything is sealed, and named by a keyed hash: who reads the bucket cannot even tell whether it holds a
text that he has. A key of an object says whether it was sealed, so both kinds may be in one store.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from common.errors import NotFound, Unavailable
from common.security.encryption import CannotOpen, Keyring, place
from knowledge_base.adapters.object_files import remove_folder, replace_file
from knowledge_base.adapters.object_stores import Account, folder_of, open_store

T = TypeVar("T")
_KEY = re.compile(r"([0-9a-f]{32})-(s?)([0-9a-f]{64})")
_SMALL = 64 * 1024
"""Bytes that are hashed, sealed and opened faster than a thread is asked to."""
_PART = 8 * 1024 * 1024
"""Larger objects go in parts of this size, four at a time."""


class Objects:
    """Implements ObjectStore at a folder or URL: `file://`, `s3://bucket/prefix`, `az://container/prefix`."""

    def __init__(self, location: Path | str, keyring: Keyring | None = None, account: Account | None = None) -> None:
        self._location = location
        self._keyring = keyring
        self._account = account or Account()
        self._opening = asyncio.Lock()
        self._opened: Any = None

    def __str__(self) -> str:
        return f"{self._location} ({'sealed' if self._keyring else 'not sealed'})"

    async def put(self, data: bytes, tenant: str, document_id: str, life: int = 0) -> str:
        """Store and return the key. A reader sees the whole object or none. Raises Unavailable."""
        owner = _owner(tenant, document_id, life)
        names = await _aside(data, self._names)
        for name in names[1:]:
            # An older key of encryption named it: the same bytes are the same object still.
            if await self._exists(f"{_place(owner)}/{name}"):
                return f"{owner}-{name}"
        path = f"{_place(owner)}/{names[0]}"
        await self._write(path, await _aside(data, lambda plain: self._sealed(plain, path)))
        return f"{owner}-{names[0]}"

    async def get(self, key: str) -> bytes:
        """The bytes; raises NotFound, and Unavailable if they are no longer what was stored."""
        import obstore

        path, is_sealed = _path(key)
        store = await self._store()
        try:
            with _reached():
                found = await obstore.get_async(store, path)
                data = bytes(await found.bytes_async())
        except FileNotFoundError:
            raise NotFound(f"There is no object {key}.") from None
        if is_sealed:
            return await _aside(data, lambda sealed: self._plain(sealed, path))
        if await _aside(data, _digest) != key.partition("-")[2]:
            raise _damaged(key)
        return data

    async def erase(self, tenant: str, document_id: str, life: int = 0) -> None:
        """Delete all objects of one life of a document. Raises Unavailable."""
        import obstore

        store, where = await self._store(), _place(_owner(tenant, document_id, life))
        async for paths in _listed(store, where):
            with contextlib.suppress(FileNotFoundError), _reached():
                await obstore.delete_async(store, paths)
        if (folder := folder_of(self._location)) is not None:
            await asyncio.to_thread(remove_folder, folder / where)

    async def reseal(self) -> AsyncIterator[bool]:
        """Go through all sealed objects; True for each that an older key had sealed, and the newest one has now."""
        if self._keyring is None:
            return
        import obstore
        from obstore.exceptions import PreconditionError

        store = await self._store()
        async for paths in _listed(store, None):
            for path in (path for path in paths if path.rpartition("/")[2].startswith("s")):
                # Erased or replaced meanwhile: there is nothing to do.
                with contextlib.suppress(FileNotFoundError, PreconditionError), _reached():
                    found = await obstore.get_async(store, path)
                    data = bytes(await found.bytes_async())
                    is_old = not self._keyring.is_current(data)
                    if is_old:
                        sealed = self._keyring.seal(self._plain(data, path), place("object", path))
                        await self._replace(path, sealed, found.meta)
                    yield is_old

    async def _write(self, path: str, data: bytes) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        store = await self._store()
        try:
            with contextlib.suppress(AlreadyExistsError), _reached():
                if len(data) <= _PART:
                    await obstore.put_async(store, path, data, mode="create")
                elif not await self._exists(path):
                    # Parts know no "only if it is not there", but what is there would be the same.
                    await obstore.put_async(store, path, data, chunk_size=_PART, max_concurrency=4)
        except FileNotFoundError as error:
            what = f"The object store at {self._location} is not there."
            raise Unavailable(what, "The operator makes the bucket or container of KB_OBJECTS_URL.") from error

    async def _replace(self, path: str, data: bytes, seen: Any) -> None:
        """Only if it is still what was seen, or what was erased in between would come back."""
        import obstore

        if (folder := folder_of(self._location)) is not None:
            await asyncio.to_thread(replace_file, folder / path, data)
            return
        same: Any = {name: seen[name] for name in ("e_tag", "version") if seen[name]}
        # In one piece: parts know no condition.
        await obstore.put_async(await self._store(), path, data, mode=same, use_multipart=False)

    async def _exists(self, path: str) -> bool:
        import obstore

        store = await self._store()
        try:
            with _reached():
                await obstore.head_async(store, path)
        except FileNotFoundError:
            return False
        return True

    async def _store(self) -> Any:
        if self._opened is None:
            async with self._opening:
                if self._opened is None:
                    self._opened = await asyncio.to_thread(open_store, self._location, self._account)
        return self._opened

    def _names(self, data: bytes) -> list[str]:
        """Names for these bytes below their document: the one that is used now, then those that older keys gave."""
        digest = _digest(data)
        if self._keyring is None:
            return [digest]
        return [f"s{name}" for name in self._keyring.indexes(digest, "object")]

    def _sealed(self, data: bytes, path: str) -> bytes:
        return data if self._keyring is None else self._keyring.seal(data, place("object", path))

    def _plain(self, data: bytes, path: str) -> bytes:
        if self._keyring is None:
            raise Unavailable("This text is sealed.", "The operator sets TRIPTYCH_ENCRYPTION_KEY as it was.")
        try:
            return self._keyring.open(data, place("object", path))
        except CannotOpen as error:
            raise Unavailable(f"A stored text cannot be opened: {error}.", "The operator looks after it.") from error


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    """What a store does wrong is told without its words, which may name hosts and accounts."""
    from obstore.exceptions import (
        AlreadyExistsError,
        BaseError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise Unavailable("The object store refuses its credentials.", "The operator renews them.") from error
    except BaseError as error:
        raise Unavailable("The object store does not answer.", "Try again later.", retry_after=5) from error


async def _listed(store: Any, where: str | None) -> AsyncIterator[list[str]]:
    """Paths, some at a time."""
    import obstore

    with _reached():
        async for found in obstore.list(store, where):
            yield [item["path"] for item in found]


async def _aside(data: bytes, work: Callable[[bytes], T]) -> T:
    """In a thread, if it is worth one."""
    return work(data) if len(data) < _SMALL else await asyncio.to_thread(work, data)


def _damaged(key: str) -> Unavailable:
    return Unavailable(f"The object {key} is damaged.", "The operator restores it from a backup.")


def _path(key: str) -> tuple[str, bool]:
    """Where an object is, and whether it is sealed."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise NotFound("That is not the key of an object.")
    return f"{_place(match[1])}/{match[2]}{match[3]}", bool(match[2])


def _owner(tenant: str, document_id: str, life: int) -> str:
    return _digest(f"{tenant}\0{document_id}\0{life}".encode())[:32]


def _place(owner: str) -> str:
    """The folder of all objects of an owner."""
    return f"{owner[:2]}/{owner[2:]}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
