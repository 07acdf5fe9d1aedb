"""What authenticates requests to an upstream. Tokens live here and nowhere else: not in logs, errors or reprs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

REFRESH_EARLY_SECONDS = 60.0


class Credentials(Protocol):
    """Headers that authenticate a request."""

    async def headers(self) -> Mapping[str, str]:
        """The headers, got anew if they are about to expire."""

    def reject(self, headers: Mapping[str, str]) -> bool:
        """The upstream refused these headers; whether others can be had."""


class Rotated(Protocol):
    """A secret that may change, see common.security.secrets.Rotating."""

    def candidates(self) -> Sequence[str]:
        """The newest value, and for some time after a change the one before."""

    def look(self) -> bool:
        """Read it again now (this blocks); whether there is something else to try."""


class RotatingHeaders:
    """An API key that may change: the newest value that was not refused."""

    def __init__(self, secret: Rotated, make: Callable[[str], Mapping[str, str]]) -> None:
        self._secret = secret
        self._make = make
        self._refused: set[str] = set()

    async def headers(self) -> Mapping[str, str]:
        """See Credentials."""
        values = self._secret.candidates()
        if values[0] in self._refused:
            await asyncio.to_thread(self._secret.look)
            values = self._secret.candidates()
        left = [value for value in values if value not in self._refused]
        if not left:
            # All were refused: begin anew, since the other side may have been the one that was late.
            self._refused.clear()
        return self._make((left or values)[0])

    def reject(self, headers: Mapping[str, str]) -> bool:
        """See Credentials."""
        refused = [value for value in self._secret.candidates() if self._make(value) == headers]
        known = self._refused.issuperset(refused)
        self._refused.update(refused)
        return not known


class FixedHeaders:
    """An API key or a token that does not change."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    async def headers(self) -> Mapping[str, str]:
        """See Credentials."""
        return self._headers

    def reject(self, headers: Mapping[str, str]) -> bool:
        """See Credentials."""
        return False


def secret_headers(secret: str, follow: Rotated | None, make: Callable[[str], Mapping[str, str]]) -> Credentials:
    """Headers with a secret of the settings, which may follow a reference."""
    return RotatingHeaders(follow, make) if follow else FixedHeaders(make(secret))


@dataclass(frozen=True)
class Token:
    """A bearer token and when it ends (seconds, monotonic clock)."""

    value: str = field(repr=False)
    ends_at: float


class BearerToken:
    """A token that is fetched when it is needed: by one caller, for all that wait."""

    def __init__(self, fetch: Callable[[], Awaitable[Token]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token: Token | None = None
        self._fetching = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        """See Credentials."""
        token = self._usable()
        if token is None:
            async with self._fetching:
                token = self._usable()
                if token is None:
                    token = self._token = await self._fetch()
        return {"Authorization": f"Bearer {token.value}"}

    def reject(self, headers: Mapping[str, str]) -> bool:
        """See Credentials."""
        # Of many calls that were refused with one token, the first discards it and the rest get its successor.
        if self._token is not None and headers.get("Authorization") == f"Bearer {self._token.value}":
            self._token = None
        return True

    def _usable(self) -> Token | None:
        token = self._token
        return token if token and token.ends_at - REFRESH_EARLY_SECONDS > self._clock() else None
