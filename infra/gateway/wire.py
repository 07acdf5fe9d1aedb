"""What the gateway needs of an HTTP client."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class WireFailure(Exception):
    """No usable answer. `sent`: the domain may have done what was asked."""

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Reply(Protocol):
    """An answer whose body has not been read yet."""

    @property
    def status(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    @property
    def length(self) -> int | None:
        """Bytes of the body, if it was said."""

    async def read(self) -> bytes:
        """What has arrived of the body, waiting for at least one byte; empty at its end. Raises WireFailure."""


class Wire(Protocol):
    """Connections to one domain, kept open. Redirects are not followed."""

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> AbstractAsyncContextManager[Reply]:
        """Send, within this time for everything. Raises WireFailure."""

    async def status(self, url: str, seconds: float) -> int:
        """Status of a GET. Raises WireFailure."""

    async def close(self) -> None:
        """Close the connections."""
