"""Signed checkpoints: what each chain looked like at a time, kept in the database and outside of it."""

import asyncio
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.security.audit_chain import Heads, canonical, read_heads
from common.security.signing import SigningKey

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

    def __init__(self, engine: AsyncEngine, by: str, key: Ed25519PrivateKey, path: Path) -> None:
        self._engine = engine
        self._by = by
        self._key = key
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
        changed = {writer: head for writer, head in heads.items() if self._seen.get(writer) != head}
        if changed:
            self._unsaved = self._last = self._next(changed)
            self._seen, self._in_file = heads, False
            await self._save()

    def _next(self, heads: Heads) -> Checkpoint:
        seq, prev = (self._last.seq + 1, self._last.digest) if self._last else (1, "")
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        return Checkpoint(at=at, by=self._by, seq=seq, prev=prev, heads=heads).sign(self._key)

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
