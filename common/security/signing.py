"""Where the signing keys come from: the settings, or in the embedded profile a file that is made at the first start."""

import contextlib
import os
import secrets
import time
from pathlib import Path

import structlog

from common.errors import SettingsError
from common.security.key_ring import KeyRing, Keys, Purpose, SigningKey, StoredKey, StoredRing, is_ring
from common.security.secrets import Rotating
from common.settings import CommonSettings

__all__ = ["KeyFile", "KeyRing", "Keys", "Purpose", "SigningKey", "key_file", "load_signing_key"]

log = structlog.get_logger(__name__)


class KeyFile:
    """The text of a file, read again when the file changed. One that is gone meanwhile changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._text = ""

    def read(self) -> str:
        """The text. Raises SettingsError if it never could be read."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp != self._stamp:
                self._stamp, self._text = stamp, self._path.read_text().strip()
        except OSError as error:
            if not self._text:
                raise SettingsError(f"The signing key file {self._path} cannot be used: restore it") from error
            if self._stamp is not None:
                log.error("signing_key.unreadable", path=str(self._path), error=type(error).__name__)
                self._stamp = None
        return self._text


class SecretRing:
    """The ring of a secret. Of a plain key that was replaced by another, the one before verifies during the overlap."""

    def __init__(self, secret: Rotating) -> None:
        self._secret = secret
        self._seen: list[str] = []
        self._text = ""

    def read(self) -> str:
        """The text of the ring."""
        values = self._secret.candidates()
        if values != self._seen:
            self._seen, self._text = values, values[0]
            if len(values) == 2 and not any(is_ring(value) for value in values):
                # It signs when the other replicas know it as well.
                newest = StoredKey(secret=values[0], signs_from=time.time() + self._secret.settled_in)
                self._text = StoredRing(keys=[StoredKey(secret=values[1]), newest]).model_dump_json()
        return self._text


def key_file(settings: CommonSettings) -> Path:
    """Where the embedded profile keeps its ring."""
    return settings.data_dir / "signing.key"


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(0o600)
    draft.write_text(secrets.token_urlsafe(48))
    # link fails if the file exists: of two servers that start at once, both use the first one's key.
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def load_signing_key(settings: CommonSettings) -> KeyRing:
    """The keys of the settings; the embedded profile makes one in its folder. Raises SettingsError in production."""
    follow = settings.follow("signing_key")
    if follow is not None:
        return KeyRing(SecretRing(follow).read)
    if settings.signing_key is not None:
        return KeyRing(settings.signing_key.get_secret_value)
    if settings.profile == "production":
        raise SettingsError("TRIPTYCH_SIGNING_KEY is required in the production profile (32 characters or more)")
    path = key_file(settings)
    if not path.exists():
        _create(path)
    return KeyRing(KeyFile(path).read)
