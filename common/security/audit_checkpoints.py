"""Signed checkpoints: what each chain looked like at a time, kept in the database and outside of it."""

import asyncio
import hashlib
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.security.audit_chain import Heads, canonical, read_heads
from common.security.signing import Keys, SigningKey

_INSERT = text("""
    INSERT INTO audit_checkpoints (writer, seq, line) VALUES (:by, :seq, :line) ON CONFLICT (writer, seq) DO NOTHING
""")


class Checkpoint(BaseModel):
    """The heads of the chains that changed since the checkpoint before, by the same process."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    at: str
    by: str
    seq: int
    prev: str
    heads: dict[str, tuple[int, str]]
    signature: str = ""

    @property
    def line(self) -> str:
        """As it is stored."""
        return canonical(self.model_dump())

    @property
    def digest(self) -> str:
        """What the next one names as `prev`."""
        return hashlib.sha256(self.line.encode()).hexdigest()

    @property
    def _signed(self) -> bytes:
        return canonical(self.model_dump(exclude={"signature"})).encode()

    def sign(self, key: Ed25519PrivateKey) -> "Checkpoint":
        """This checkpoint with its signature."""
        return self.model_copy(update={"signature": key.sign(self._signed).hex()})

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether the holder of the private key wrote exactly this."""
        try:
            key.verify(bytes.fromhex(self.signature), self._signed)
        except (InvalidSignature, ValueError):
            return False
        return True


def checkpoint_key(signing_key: SigningKey) -> Ed25519PrivateKey:
    """The key that signs checkpoints; its public half is enough to verify."""
    return signing_key.ed25519("audit-checkpoint")


@dataclass(frozen=True)
class CheckpointKey:
    """Verifies the checkpoints of one signing key, if it was dropped only those before `until` (ISO time)."""

    public: Ed25519PublicKey
    until: str | None = None

    def signed(self, checkpoint: Checkpoint) -> bool:
        """Whether the holder of the private key wrote exactly this, in time."""
        in_time = self.until is None or checkpoint.at <= self.until
        return in_time and checkpoint.is_signed_by(self.public)


def checkpoint_keys(keys: Keys) -> list[CheckpointKey]:
    """What verifies the checkpoints of an installation, the current key first."""
    present = [CheckpointKey(checkpoint_key(root).public_key()) for root in keys.accepted()]
    dropped = [
        CheckpointKey(Ed25519PublicKey.from_public_bytes(key.checkpoints), _iso(key.until)) for key in keys.retired()
    ]
    return present + dropped


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def append_line(path: Path, line: str) -> None:
    """Add one line in one write, and wait until it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = f"{chr(10) if torn else ''}{line}\n".encode()
        written = os.write(descriptor, data)
        if written < len(data):
            # The disk is full. Half a line would look like damage; it goes unless somebody wrote after it.
            if os.fstat(descriptor).st_size == size + written:
                os.ftruncate(descriptor, size)
            raise OSError(f"only {written} of {len(data)} bytes could be written to {path}")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Checkpointer:
    """Writes the checkpoints of one process: first outside the database, then inside."""

    def __init__(self, engine: AsyncEngine, by: str, keys: Keys, path: Path) -> None:
        self._engine = engine
        self._by = by
        self._keys = keys
        self._signed_with = ""
        self._path = path
        self._seen: Heads = {}
        self._last: Checkpoint | None = None
        self._unsaved: Checkpoint | None = None
        self._in_file = False

    async def write(self) -> None:
        """Bind every chain that changed. What a failure left unsaved is saved first, unchanged."""
        await self._save()
        async with self._engine.connect() as connection:
            heads = await read_heads(connection)
        if self._keys.current().id != self._signed_with:
            # A new key binds every chain once more, so that who got hold of the old one cannot rewrite what was before.
            self._seen = {}
        changed = {writer: head for writer, head in heads.items() if self._seen.get(writer) != head}
        if changed:
            self._unsaved = self._last = self._next(changed)
            self._seen, self._in_file = heads, False
            await self._save()

    def _next(self, heads: Heads) -> Checkpoint:
        seq, prev = (self._last.seq + 1, self._last.digest) if self._last else (1, "")
        root = self._keys.current()
        self._signed_with = root.id
        checkpoint = Checkpoint(at=_iso(time.time()), by=self._by, seq=seq, prev=prev, heads=heads)
        return checkpoint.sign(checkpoint_key(root))

    async def _save(self) -> None:
        if self._unsaved is None:
            return
        line = self._unsaved.line
        if not self._in_file:
            await asyncio.to_thread(append_line, self._path, line)
            self._in_file = True
        async with self._engine.begin() as connection:
            await connection.execute(_INSERT, {"by": self._by, "seq": self._unsaved.seq, "line": line})
        self._unsaved = None
