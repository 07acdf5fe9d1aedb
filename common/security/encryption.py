"""Seals data at rest: AES-256-GCM with a data key of its own for each value, key ids, rotation.

A sealed value is: version (1 byte), key id (4), salt (24), ciphertext with its tag (16 more than the plain text).
"""

import hmac
import json
import os
from collections.abc import Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from common.security.signing import Keys, SigningKey, load_signing_key
from common.settings import CommonSettings

VERSION = b"\x01"
ID_BYTES, SALT_BYTES = 4, 24
HEADER_BYTES = len(VERSION) + ID_BYTES + SALT_BYTES


class CannotOpen(Exception):
    """A sealed value was changed, moved to another place, or its key is not there any more."""


def place(*parts: str) -> bytes:
    """Where a value belongs (table, column, row), as additional data: it opens nowhere else."""
    return json.dumps(parts, ensure_ascii=False).encode()


class _Root(Protocol):
    @property
    def id(self) -> str: ...

    def derive(self, purpose: str) -> bytes: ...


class _Key:
    def __init__(self, root: _Root) -> None:
        self.id = root.derive("encryption-key-id")[:ID_BYTES]
        self._values = root.derive("encryption")
        self._index = root.derive("blind-index")

    def cipher(self, header: bytes) -> tuple[AESGCM, bytes]:
        """Data key and nonce of one value. Each is used once: the header has a salt of 192 random bits."""
        material = HKDFExpand(SHA256(), length=44, info=b"triptych/value/" + header).derive(self._values)
        return AESGCM(material[:32]), material[32:]

    def index(self, value: str, field: str) -> str:
        return hmac.digest(self._index, place(field, value), "sha256").hex()


class Keyring:
    """Seals with the newest key and opens with any, dropped ones included. Keys never appear in `repr`."""

    def __init__(self, ring: Keys, older: Sequence[SigningKey] = ()) -> None:
        self._ring = ring
        self._older = older
        self._known: dict[str, _Key] = {}
        self._openers: dict[bytes, _Key] = {}

    @property
    def _newest(self) -> _Key:
        return self._of(self._ring.current())

    @property
    def _keys(self) -> list[_Key]:
        roots: list[_Root] = [*self._ring.accepted(), *self._older, *self._ring.retired()]
        return [self._of(root) for root in roots]

    def _of(self, root: _Root) -> _Key:
        if root.id not in self._known:
            self._known[root.id] = _Key(root)
        return self._known[root.id]

    def seal(self, plain: bytes, aad: bytes) -> bytes:
        """Only `open` with the same additional data (see `place`) gives it back."""
        key = self._newest
        header = VERSION + key.id + os.urandom(SALT_BYTES)
        cipher, nonce = key.cipher(header)
        return header + cipher.encrypt(nonce, plain, header + aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """The plain text. Raises CannotOpen."""
        header = sealed[:HEADER_BYTES]
        key_id = header[len(VERSION) : len(VERSION) + ID_BYTES]
        key = self._opening(key_id)
        if not sealed.startswith(VERSION) or len(header) < HEADER_BYTES:
            raise CannotOpen("this is not a sealed value")
        if key is None:
            raise CannotOpen("it was sealed with another key: TRIPTYCH_ENCRYPTION_OLD_KEYS names keys that still open")
        cipher, nonce = key.cipher(header)
        try:
            return cipher.decrypt(nonce, sealed[HEADER_BYTES:], header + aad)
        except InvalidTag:
            raise CannotOpen("it was changed, or moved from another place") from None

    def _opening(self, key_id: bytes) -> _Key | None:
        # A key that opened once opens for good: the ring need not be asked again for each row.
        if key_id not in self._openers:
            found = next((key for key in self._keys if key.id == key_id), None)
            if found is None:
                return None
            self._openers[key_id] = found
        return self._openers[key_id]

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with the newest key."""
        return sealed.startswith(VERSION + self._newest.id)

    def index(self, value: str, field: str) -> str:
        """A keyed hash by which equal values are found without being stored (blind index, HMAC-SHA256)."""
        return self._newest.index(value, field)

    def indexes(self, value: str, field: str) -> list[str]:
        """What `index` says with each key, newest first: rows that an older key wrote are found, too."""
        return [key.index(value, field) for key in self._keys]


def load_keyring(settings: CommonSettings) -> Keyring:
    """The keys of the settings; without any, one that is derived from the signing key. Raises SettingsError."""
    older = [SigningKey(secret.get_secret_value().encode()) for secret in settings.encryption_old_keys]
    if settings.encryption_key is None:
        return Keyring(load_signing_key(settings), older)
    return Keyring(SigningKey(settings.encryption_key.get_secret_value().encode()), older)
