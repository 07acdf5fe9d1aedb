"""API keys: only hashes are stored, a key expires, and a revoked one is refused by the next call of any process.

Here in a file; api_key_stores.py has those in the database.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from common.errors import NotFound, SettingsError
from common.security.principal import Principal
from common.settings import Classification, CommonSettings

PREFIX = "tk_"


class ApiKey(BaseModel):
    """What is stored about a key; the secret itself is not."""

    id: str
    hash: str = Field(repr=False)
    owner: str
    tenant: str
    roles: list[str] = []
    groups: list[str] = []
    clearance: Classification = "internal"
    created: float
    expires: float
    revoked: bool = False

    @property
    def state(self) -> Literal["active", "expired", "revoked"]:
        if self.revoked:
            return "revoked"
        return "active" if time.time() < self.expires else "expired"

    def fits(self, token: str) -> bool:
        """Whether the token has this key's secret."""
        return hmac.compare_digest(_hash(_secret(token)), self.hash)

    @property
    def principal(self) -> Principal:
        return Principal(
            self.owner, self.tenant, frozenset(self.roles), frozenset(self.groups), self.clearance, key_id=self.id
        )


class _KeyFile(BaseModel):
    keys: dict[str, ApiKey] = {}


def api_keys_path(settings: CommonSettings) -> Path:
    """Where the keys of these settings are."""
    return settings.api_keys_file or settings.data_dir / "api-keys.json"


def _hash(secret: str) -> str:
    # The secret has 256 random bits, so a fast hash is enough: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def key_id_of(token: str) -> str:
    """The part of a token that names the key; empty if there is none."""
    found = token.removeprefix(PREFIX).partition("_")[0]
    return found if found.isascii() and found.isalnum() else ""


def _secret(token: str) -> str:
    return token.removeprefix(PREFIX).partition("_")[2]


def new_key(
    owner: str, tenant: str, roles: list[str], groups: list[str], clearance: Classification, days: float
) -> tuple[ApiKey, str]:
    """A key that is stored nowhere yet, and its token."""
    key_id, secret, now = secrets.token_hex(6), secrets.token_urlsafe(32), time.time()
    key = ApiKey(
        id=key_id,
        hash=_hash(secret),
        owner=owner,
        tenant=tenant,
        roles=roles,
        groups=groups,
        clearance=clearance,
        created=now,
        expires=now + days * 86_400,
    )
    return key, f"{PREFIX}{key_id}_{secret}"


class ApiKeyStore:
    """Keys in one file, replaced atomically; each look-up notices a change of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def verify(self, token: str) -> ApiKey | None:
        """The active key of this token, or None."""
        self._refresh()
        key = self._keys.get(key_id_of(token))
        return key if key and key.fits(token) and key.state == "active" else None

    def get(self, key_id: str) -> ApiKey | None:
        """The key if it is still active."""
        self._refresh()
        key = self._keys.get(key_id)
        return key if key and key.state == "active" else None

    def all(self) -> list[ApiKey]:
        """All keys, oldest first."""
        self._refresh()
        return sorted(self._keys.values(), key=lambda key: key.created)

    def create(
        self,
        owner: str,
        tenant: str,
        roles: list[str],
        groups: list[str],
        clearance: Classification = "internal",
        days: float = 90,
    ) -> tuple[ApiKey, str]:
        """Make a key; the second value is the token, which cannot be had again."""
        key, token = new_key(owner, tenant, roles, groups, clearance, days)
        with self._editing() as keys:
            keys[key.id] = key
        return key, token

    def revoke(self, key_id: str) -> ApiKey:
        """Refuse this key from now on. Raises NotFound."""
        with self._editing() as keys:
            if key_id not in keys:
                raise NotFound(f"There is no key {key_id}.", "`triptych keys list` shows them.")
            keys[key_id].revoked = True
            return keys[key_id]

    def rotate(self, key_id: str, overlap_hours: float = 24) -> tuple[ApiKey, str]:
        """A new key with the same rights; the old one ends after the overlap. Raises NotFound."""
        old = self.get(key_id)
        if old is None:
            raise NotFound(f"There is no active key {key_id}.", "`triptych keys list` shows them.")
        days = (old.expires - old.created) / 86_400
        created = self.create(old.owner, old.tenant, old.roles, old.groups, old.clearance, days)
        with self._editing() as keys:
            keys[key_id].expires = min(old.expires, time.time() + overlap_hours * 3600)
        return created

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            self._stamp, self._keys = None, {}
            return
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp != self._stamp:
            self._keys = self._read()
            self._stamp = stamp

    def _read(self) -> dict[str, ApiKey]:
        try:
            return _KeyFile.model_validate_json(self._path.read_bytes()).keys
        except FileNotFoundError:
            return {}
        except ValidationError:
            raise SettingsError(f"The API key file {self._path} is damaged: restore it from a copy") from None

    @contextmanager
    def _editing(self) -> Iterator[dict[str, ApiKey]]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self._path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self._read()
            yield keys
            draft = self._path.with_suffix(".draft")
            draft.unlink(missing_ok=True)
            draft.touch(0o600)
            with draft.open("w") as file:
                json.dump(_KeyFile(keys=keys).model_dump(mode="json"), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
