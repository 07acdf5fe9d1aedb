"""What authenticates requests to an upstream. Tokens live here and nowhere else: not in logs, errors or reprs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

REFRESH_EARLY_SECONDS = 60.0


class Credentials(Protocol):
    """Headers that authenticate a request."""

    async def headers(self) -> Mapping[str, str]:
        """The headers, got anew if they are about to expire."""

    def reject(self, headers: Mapping[str, str]) -> bool:
        """The upstream refused these headers; whether others can be had."""


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
