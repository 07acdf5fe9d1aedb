"""Secrets that live elsewhere: read through a port, kept for a while, read again before they are stale.

A setting names one as `secret://path#field`, or has `${secret://path#field}` inside a longer value such as a URL.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from urllib.parse import quote

import structlog

SCHEME = "secret://"
KEPT_ACCESSES = 1000
BETWEEN_LOOKS_SECONDS = 1.0
"""At least so long between two looks that failed sign-ins ask for."""
_REFERENCE = r"secret://(?P<path>[A-Za-z0-9_+=.@/-]+)(?:#(?P<field>[A-Za-z0-9_.-]+))?"
_WHOLE = re.compile(_REFERENCE)
_EMBEDDED = re.compile(rf"\$\{{{_REFERENCE}\}}")
log = structlog.get_logger(__name__)
Found = TypeVar("Found", "Secret", "Secret | None")


class SecretUnavailable(Exception):
    """A secret cannot be had; the message says why and what to do, and holds no value."""


@dataclass(frozen=True)
class Secret:
    """One version of a secret. Without fields, its only value is under the empty name."""

    fields: Mapping[str, str] = field(repr=False)
    version: str
    lease_seconds: float | None = None
    """After this time it is worth nothing, as with database credentials that were made for this process."""


class SecretStore(Protocol):
    """Where secrets live. Calls block: use a thread."""

    name: str

    def read(self, path: str) -> Secret:
        """The current version. Raises SecretUnavailable."""

    def previous(self, path: str) -> Secret | None:
        """The version before, if the store keeps it. Raises SecretUnavailable."""

    def write(self, path: str, values: Mapping[str, str], expected: str) -> None:
        """Store a new version of all fields, unless the current version is not `expected` any more.

        Raises SecretUnavailable.
        """


@dataclass(frozen=True)
class Reference:
    """What `secret://path#field` names."""

    path: str
    field: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.path}" + (f"#{self.field}" if self.field else "")

    def of(self, secret: Secret) -> str:
        """The value. Raises SecretUnavailable."""
        try:
            return secret.fields[self.field]
        except KeyError:
            raise SecretUnavailable("it has no such field") from None


@dataclass(frozen=True)
class Access:
    """That a store was asked for a secret, and what came of it."""

    store: str
    path: str
    outcome: str
    version: str = ""


@dataclass
class _Kept:
    secret: Secret
    read_at: float
    previous: Secret | None = field(default=None, repr=False)
    changed_at: float = 0.0


class SecretCache:
    """The secrets that this process uses. Values are in memory only, and in no `repr`, log or error."""

    def __init__(
        self,
        store: SecretStore,
        ttl_seconds: float = 60.0,
        overlap_seconds: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.ttl_seconds = ttl_seconds
        self.overlap_seconds = overlap_seconds
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._reading = threading.RLock()
        self._looked_at: dict[str, float] = {}
        self._accesses: deque[Access] = deque(maxlen=KEPT_ACCESSES)

    def get(self, path: str) -> Secret:
        """From memory; read if it is not there. Raises SecretUnavailable."""
        kept = self._kept.get(path)
        return kept.secret if kept else self._read(path).secret

    def previous(self, path: str) -> Secret | None:
        """The version before, for the time in which both may be right."""
        kept = self._kept.get(path)
        overlap = kept is not None and self._clock() - kept.changed_at < self.overlap_seconds
        return kept.previous if kept and overlap else None

    def changed_at(self, path: str) -> float:
        """When this process noticed the last change (its clock); 0 if it saw none."""
        kept = self._kept.get(path)
        return kept.changed_at if kept else 0.0

    def look(self, path: str) -> bool:
        """Read now, since the value was refused; whether there is another one to try than before."""
        with self._reading:
            now = self._clock()
            if now - self._looked_at.get(path, -1e9) < BETWEEN_LOOKS_SECONDS:
                return False
            self._looked_at[path] = now
            before = self._kept.get(path)
            kept = self._read(path)
            if kept.previous is None and (before is None or kept.secret.version == before.secret.version):
                # It changed before this process began; whoever checks it may not have followed yet.
                kept.previous = self._asked(path, self.store.previous)
                kept.changed_at = now
            return kept.previous is not None

    def refresh(self) -> list[str]:
        """Read again what is due. What cannot be read keeps its value. Returns the paths that changed."""
        changed = []
        for path, kept in list(self._kept.items()):
            if not self._due(kept):
                continue
            try:
                if self._read(path).secret.version != kept.secret.version:
                    changed.append(path)
            except SecretUnavailable as error:
                log.warning("secret.refresh_failed", path=path, store=self.store.name, reason=str(error))
            except Exception as error:
                # It holds up no other secret. Its text may hold a value.
                log.error("secret.refresh_failed", path=path, store=self.store.name, error=type(error).__name__)
        return changed

    def drain(self) -> list[Access]:
        """What was asked of the store since the last time."""
        found = []
        while self._accesses:
            found.append(self._accesses.popleft())
        return found

    def _due(self, kept: _Kept) -> bool:
        lease = kept.secret.lease_seconds
        # Credentials that were made for us would be made anew by each look: they stay for two thirds of their time.
        seconds = self.ttl_seconds if lease is None else lease * 2 / 3
        return self._clock() - kept.read_at >= seconds

    def _read(self, path: str) -> _Kept:
        with self._reading:
            secret = self._asked(path, self.store.read)
            old, now = self._kept.get(path), self._clock()
            kept = _Kept(secret, now)
            if old is not None and old.secret.version == secret.version:
                kept.previous, kept.changed_at = old.previous, old.changed_at
            elif old is not None:
                kept.previous, kept.changed_at = old.secret, now
                log.info("secret.changed", path=path, store=self.store.name, version=secret.version)
            self._kept[path] = kept
            return kept

    def _asked(self, path: str, ask: Callable[[str], Found]) -> Found:
        try:
            secret = ask(path)
        except Exception:
            self._accesses.append(Access(self.store.name, path, "unavailable"))
            raise
        self._accesses.append(Access(self.store.name, path, "ok", secret.version if secret else ""))
        return secret


class Template:
    """A setting that is a reference, or holds some."""

    def __init__(self, text: str) -> None:
        self.text = text
        whole = _WHOLE.fullmatch(text)
        self._whole = _reference(whole) if whole else None

    @property
    def references(self) -> list[Reference]:
        return [self._whole] if self._whole else [_reference(found) for found in _EMBEDDED.finditer(self.text)]

    def render(self, get: Callable[[str], Secret]) -> str:
        """The setting's value. Parts of a longer text are percent-encoded, since they stand in URLs.

        Raises SecretUnavailable with the reference.
        """

        def value(reference: Reference) -> str:
            try:
                return reference.of(get(reference.path))
            except SecretUnavailable as error:
                raise SecretUnavailable(f"{reference}: {error}") from None

        if self._whole:
            return value(self._whole)
        return _EMBEDDED.sub(lambda found: quote(value(_reference(found)), safe=""), self.text)


def _reference(found: "re.Match[str]") -> Reference:
    return Reference(found["path"].strip("/"), found["field"] or "")


def is_reference(text: str) -> bool:
    """Whether a setting's text asks for a secret; a mistyped reference does, too."""
    return text.startswith(SCHEME) or f"${{{SCHEME}" in text


class Rotating:
    """A setting whose secret may change while the process runs. Fast, but for `look`."""

    def __init__(self, template: Template, cache: SecretCache) -> None:
        self.template = template
        self._cache = cache

    def __repr__(self) -> str:
        return f"Rotating({self.template.text!r})"

    def value(self) -> str:
        """The newest value that this process knows."""
        return self.template.render(self._cache.get)

    def candidates(self) -> list[str]:
        """The newest value, and in the time after a change the one before it."""
        newest = self.value()
        try:
            older = self.template.render(lambda path: self._cache.previous(path) or self._cache.get(path))
        except SecretUnavailable:
            return [newest]
        return [newest] if older == newest else [newest, older]

    def look(self) -> bool:
        """Ask the store now, since the value was refused. Blocks. Whether there is something else to try."""
        found = False
        for path in {reference.path for reference in self.template.references}:
            try:
                found |= self._cache.look(path)
            except SecretUnavailable as error:
                log.warning("secret.look_failed", path=path, reason=str(error))
        return found or len(self.candidates()) > 1

    @property
    def changed_at(self) -> float:
        """When this process noticed the last change (its clock); what was made before should be made anew."""
        return max((self._cache.changed_at(each.path) for each in self.template.references), default=0.0)

    @property
    def settled_in(self) -> float:
        """Seconds after a change until every replica has noticed it."""
        return 2 * self._cache.ttl_seconds
