"""Changes of a ring of signing keys: a new one that signs from some time on, and an old one dropped."""

import secrets
import time

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from common.errors import Conflict, NotFound
from common.security.audit_checkpoints import checkpoint_key
from common.security.key_ring import StoredKey, StoredRetired, StoredRing, read_ring

AT_REST = ("encryption-key-id", "encryption", "blind-index")
"""Purposes of `common.security.encryption`: data that was sealed once has to open years later."""
OVERLAP_SECONDS = 10 * 3600.0
"""Longer than a console session lasts; a sealed request state lasts ten minutes."""


def rotated(text: str, wait_seconds: float = 0.0, now: float | None = None) -> tuple[str, str]:
    """The ring with a new key that signs after `wait_seconds`, and the id of that key."""
    now = time.time() if now is None else now
    ring = read_ring(text)
    if ring.keys[-1].signs_from > now:
        raise Conflict("The newest key does not sign yet.", "Wait until it does: `triptych keys signing` says when.")
    new = StoredKey(secret=secrets.token_urlsafe(48), signs_from=now + wait_seconds)
    return write_ring(StoredRing(keys=[*ring.keys, new], retired=ring.retired)), new.key.id


def dropped(text: str, key_id: str, force: bool = False, now: float | None = None) -> str:
    """The ring without a key; what verifies its audit checkpoints and opens its data at rest stays.

    Raises NotFound, and Conflict if the key signs, or may still be in use.
    """
    now = time.time() if now is None else now
    ring = read_ring(text)
    place = next((n for n, key in enumerate(ring.keys) if key.key.id == key_id), None)
    if place is None:
        raise NotFound(f"There is no signing key {key_id}.", "`triptych keys signing` lists them.")
    signing = ring.signing(now)
    if place >= signing:
        raise Conflict(f"The key {key_id} is in use.", "Rotate first: `triptych keys rotate-signing`.")
    if now - ring.keys[signing].signs_from < OVERLAP_SECONDS and not force:
        hours = (OVERLAP_SECONDS - now + ring.keys[signing].signs_from) / 3600
        raise Conflict(
            f"What the key {key_id} signed may be in use for {hours:.1f} more hours.",
            "Wait, or say --force if the key has leaked: whoever is signed in by it has to sign in again.",
        )
    root = ring.keys[place].key
    public = checkpoint_key(root).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    kept = {purpose: root.derive(purpose).hex() for purpose in AT_REST}
    retired = StoredRetired(id=key_id, checkpoints=public.hex(), until=now, kept=kept)
    rest = [key for n, key in enumerate(ring.keys) if n != place]
    return write_ring(StoredRing(keys=rest, retired=[*ring.retired, retired]))


def write_ring(ring: StoredRing) -> str:
    """The text of a ring."""
    return ring.model_dump_json()
