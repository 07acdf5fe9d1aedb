"""One root key; every purpose derives its own from it (HKDF-SHA256, RFC 5869)."""

import contextlib
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.errors import SettingsError
from common.settings import CommonSettings


class SigningKey:
    """The root key of an installation. It never appears in `repr`."""

    def __init__(self, root: bytes) -> None:
        self._root = root

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose; two purposes never share a key."""
        return HKDF(SHA256(), length=32, salt=None, info=f"triptych/{purpose}".encode()).derive(self._root)

    def ed25519(self, purpose: str) -> Ed25519PrivateKey:
        """A signature key whose public half others may hold."""
        return Ed25519PrivateKey.from_private_bytes(self.derive(purpose))


def _read_or_create(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(0o600)
        draft.write_text(secrets.token_urlsafe(48))
        # link fails if the file exists: of two servers that start at once, both use the first one's key.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text().strip()


def load_signing_key(settings: CommonSettings) -> SigningKey:
    """The key of the settings; the embedded profile makes one in its folder. Raises SettingsError in production."""
    if settings.signing_key is not None:
        return SigningKey(settings.signing_key.get_secret_value().encode())
    if settings.profile == "production":
        raise SettingsError("TRIPTYCH_SIGNING_KEY is required in the production profile (32 characters or more)")
    return SigningKey(_read_or_create(settings.data_dir / "signing.key").encode())
