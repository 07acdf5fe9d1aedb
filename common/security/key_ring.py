"""Root keys of an installation: one signs and seals, older ones still verify and open until they are dropped.

Every purpose derives its own key from a root (HKDF-SHA256, RFC 5869). What is held for long must hold a `Purpose`, not
its bytes: after `triptych keys rotate-signing` the same object gives the new key.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import SettingsError

MIN_SECRET = 32
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Retired:
    """What is left of a dropped key: it verifies the audit checkpoints and opens the data of its time, nothing else."""

    id: str
    checkpoints: bytes
    """Public key, Ed25519."""
    until: float
    """Unix time; later signatures do not count."""
    kept: Mapping[str, bytes] = field(repr=False)

    def derive(self, purpose: str) -> bytes:
        """The key of a purpose that outlives its root. Raises KeyError for any other."""
        return self.kept[purpose]


class Keys(Protocol):
    """The roots of an installation, or a single one."""

    def current(self) -> "SigningKey":
        """The key that signs and seals now."""

    def accepted(self) -> Sequence["SigningKey"]:
        """Every key that verifies and opens, the current one first."""

    def retired(self) -> Sequence[Retired]:
        """Keys that were dropped."""


class SigningKey:
    """One root key. It never appears in `repr`. Alone, it is a ring of one."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose; two purposes never share a key."""
        return HKDF(SHA256(), length=32, salt=None, info=f"triptych/{purpose}".encode()).derive(self._root)

    def ed25519(self, purpose: str) -> Ed25519PrivateKey:
        """A signature key whose public half others may hold."""
        return Ed25519PrivateKey.from_private_bytes(self.derive(purpose))

    @cached_property
    def id(self) -> str:
        """Names the key without telling anything about it: 12 hex digits."""
        return self.derive("key-id").hex()[:12]

    def current(self) -> "SigningKey":
        """See Keys."""
        return self

    def accepted(self) -> Sequence["SigningKey"]:
        """See Keys."""
        return (self,)

    def retired(self) -> Sequence[Retired]:
        """See Keys."""
        return ()


@dataclass(frozen=True)
class DerivedKey:
    """A key of one purpose, with the id of its root."""

    id: str
    secret: bytes = field(repr=False)


class Purpose:
    """The keys of one purpose, as the ring is at the moment of asking."""

    def __init__(self, keys: Keys, name: str) -> None:
        self._keys = keys
        self._name = name
        self._derived: dict[str, DerivedKey] = {}

    @property
    def newest(self) -> DerivedKey:
        """For what is signed or sealed now; keep its id beside what outlives a rotation."""
        return self._of(self._keys.current())

    @property
    def accepted(self) -> tuple[DerivedKey, ...]:
        """For what is verified or opened, the newest first."""
        return tuple(self._of(root) for root in self._keys.accepted())

    def named(self, key_id: str) -> DerivedKey | None:
        """The key with this id; None if it was dropped or is not of this installation."""
        return next((key for key in self.accepted if key.id == key_id), None)

    def _of(self, root: SigningKey) -> DerivedKey:
        found = self._derived.get(root.id)
        if found is None:
            found = self._derived[root.id] = DerivedKey(root.id, root.derive(self._name))
        return found


class StoredKey(BaseModel):
    """A root as it is stored."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    secret: str = Field(repr=False)
    signs_from: float = 0.0
    """Unix time. It verifies from the beginning, so that each replica knows it before one signs with it."""

    @property
    def key(self) -> SigningKey:
        return SigningKey(self.secret.encode())


class StoredRetired(BaseModel):
    """A dropped key as it is stored."""

    model_config = ConfigDict(extra="forbid")

    id: str
    checkpoints: str
    until: float
    kept: dict[str, str] = Field(repr=False)

    @property
    def retired(self) -> Retired:
        kept = {purpose: bytes.fromhex(text) for purpose, text in self.kept.items()}
        return Retired(self.id, bytes.fromhex(self.checkpoints), self.until, kept)


class StoredRing(BaseModel):
    """A ring as it is stored; `keys` are in the order in which they were made."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: list[StoredKey]
    retired: list[StoredRetired] = []

    def signing(self, now: float) -> int:
        """Index of the key that signs at this time."""
        return max((n for n, key in enumerate(self.keys) if key.signs_from <= now), default=0)


def is_ring(text: str) -> bool:
    """Whether it is the text of a ring; any other is the only key itself."""
    return text.startswith('{"keys"')


def read_ring(text: str) -> StoredRing:
    """A ring from its text; a text that is no ring is the only key. Raises SettingsError."""
    if not is_ring(text):
        ring = StoredRing(keys=[StoredKey(secret=text)])
    else:
        try:
            ring = StoredRing.model_validate_json(text)
        except ValidationError:
            ring = StoredRing(keys=[])
    if not ring.keys or any(len(key.secret) < MIN_SECRET for key in ring.keys):
        raise SettingsError("The ring of signing keys is damaged: restore it from a copy")
    return ring


class KeyRing:
    """The ring behind a text that may change while the process runs. `read` is called often, and has to be fast."""

    def __init__(self, read: Callable[[], str], clock: Callable[[], float] = time.time) -> None:
        self._read = read
        self._clock = clock
        self._text = self._refused = ""
        self._stored = StoredRing(keys=[])
        self._roots: list[SigningKey] = []
        self._refresh()

    def current(self) -> SigningKey:
        """See Keys."""
        self._refresh()
        return self._roots[self._stored.signing(self._clock())]

    def accepted(self) -> Sequence[SigningKey]:
        """See Keys."""
        current = self.current()
        return (current, *(root for root in reversed(self._roots) if root is not current))

    def retired(self) -> Sequence[Retired]:
        """See Keys."""
        self._refresh()
        return [key.retired for key in self._stored.retired]

    def _refresh(self) -> None:
        text = self._read()
        if text == self._text or text == self._refused:
            return
        try:
            stored = read_ring(text)
        except SettingsError as error:
            if not self._roots:
                raise
            # Somebody is about to mend it; until then the keys that are known do.
            self._refused = text
            log.error("signing_key.refused", reason=str(error))
            return
        self._roots = [key.key for key in stored.keys]
        self._text, self._stored, self._refused = text, stored, ""
