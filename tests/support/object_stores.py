"""Places for objects in the real stores, each new and empty."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from common.security.encryption import Keyring
from common.security.signing import SigningKey
from knowledge_base.adapters.object_stores import Account, open_store

KINDS = ("local", "s3", "azure")
OLD_KEY, NEW_KEY = SigningKey(b"o" * 32), SigningKey(b"n" * 32)
KEYRING = Keyring(OLD_KEY)


class Place:
    """Where a store is, and what is really there."""

    def __init__(self, location: Path | str, account: Account) -> None:
        self.location = location
        self.account = account
        self.store: Any = open_store(location, account)

    async def paths(self) -> list[str]:
        return [item["path"] async for found in self.store.list() for item in found]

    async def raw(self, path: str) -> bytes:
        return bytes(await (await self.store.get_async(path)).bytes_async())


@contextmanager
def place_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A new place in a local folder, in S3 or in Azure."""
    if kind == "local":
        yield Place(folder / "objects", Account())
        return
    parts, prefix = urlsplit(request.getfixturevalue(f"{kind}_url")), secrets.token_hex(6)
    bucket, server = parts.path.strip("/"), f"http://{parts.hostname}:{parts.port}"
    with pytest.MonkeyPatch.context() as patch:
        if kind == "s3":
            patch.setenv("AWS_ACCESS_KEY_ID", str(parts.username))
            patch.setenv("AWS_SECRET_ACCESS_KEY", str(parts.password))
            yield Place(f"s3://{bucket}/{prefix}", Account(server))
        else:
            account = Account(f"{server}/{parts.username}", parts.username, SecretStr(str(parts.password)))
            yield Place(f"az://{bucket}/{prefix}", account)
