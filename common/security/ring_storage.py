"""Where the ring of signing keys is kept, for the commands that change it."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from common.errors import InvalidInput, Unavailable
from common.security.secret_cache import open_cache
from common.security.secrets import Rotating, Secret, SecretUnavailable
from common.security.signing import key_file, load_signing_key
from common.settings import CommonSettings


class RingStorage(Protocol):
    """Reads the ring's text, and replaces it unless somebody else did meanwhile."""

    wait_seconds: float
    """A new key signs after this time, so that every replica knows it by then."""

    def change(self, change: Callable[[str], str]) -> None:
        """Replace the text by what `change` makes of it."""


class FileStorage:
    """The file of the embedded profile, which servers look at before each use."""

    wait_seconds = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def change(self, change: Callable[[str], str]) -> None:
        """See RingStorage."""
        with open(self._path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            text = change(self._path.read_text().strip())
            draft = self._path.with_suffix(".draft")
            draft.unlink(missing_ok=True)
            draft.touch(0o600)
            draft.write_text(text)
            draft.replace(self._path)


class SecretStorage:
    """A secret in the store, which servers read again within its time to live."""

    def __init__(self, secret: Rotating, settings: CommonSettings) -> None:
        [self._reference] = secret.template.references
        self._store = open_cache(settings).store
        self.wait_seconds = secret.settled_in

    def change(self, change: Callable[[str], str]) -> None:
        """See RingStorage."""
        try:
            secret = self._store.read(self._reference.path)
            values = self._with(secret, change(self._reference.of(secret)))
            self._store.write(self._reference.path, values, secret.version)
        except SecretUnavailable as error:
            raise Unavailable(f"{self._reference}: {error}", "Nothing was changed.") from None

    def _with(self, secret: Secret, text: str) -> dict[str, str]:
        if not self._reference.field:
            return {"": text}
        return {name: value for name, value in secret.fields.items() if name} | {self._reference.field: text}


class SettingStorage:
    """A plain setting, which only its owner can change: the new text is handed over."""

    wait_seconds = 0.0

    def __init__(self, text: str, hand_over: Callable[[str], None] | None) -> None:
        self._text = text
        self._hand_over = hand_over

    def change(self, change: Callable[[str], str]) -> None:
        """See RingStorage."""
        if self._hand_over is None:
            raise InvalidInput(
                "TRIPTYCH_SIGNING_KEY is a plain setting, which cannot be changed from here.",
                "Make it a reference (secret://...), or say --print and give what is printed to all replicas.",
            )
        self._hand_over(change(self._text))


def ring_storage(settings: CommonSettings, hand_over: Callable[[str], None] | None = None) -> RingStorage:
    """Where these settings keep the ring. Raises SettingsError."""
    follow = settings.follow("signing_key")
    if follow is not None:
        return SecretStorage(follow, settings)
    if settings.signing_key is not None:
        return SettingStorage(settings.signing_key.get_secret_value(), hand_over)
    load_signing_key(settings)  # makes the file if there is none
    return FileStorage(key_file(settings))
