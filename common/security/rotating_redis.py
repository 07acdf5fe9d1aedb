"""Connections to Redis whose password changes: each new one uses the newest, and pooled old ones are replaced."""

import asyncio
from typing import Any

import structlog
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import parse_url
from redis.credentials import UsernamePasswordCredentialProvider
from redis.exceptions import AuthenticationError

from common.security.secrets import Rotating

log = structlog.get_logger(__name__)


def follow_password(pool: ConnectionPool, url: Rotating) -> None:
    """Sign in with the secret as it is; in the time after a change, with the value before if the new one is refused."""
    base: Any = pool.connection_class

    class Connection(base):  # type: ignore[misc]
        made_at: float | None = None

        async def connect(self, *arguments: Any, **options: Any) -> Any:
            if self.is_connected and self.made_at == url.changed_at:
                return await super().connect(*arguments, **options)
            await self.disconnect()
            refusal = await self._try_all(arguments, options)
            if refusal is not None and await asyncio.to_thread(url.look):
                refusal = await self._try_all(arguments, options)
            if refusal is not None:
                raise refusal
            return None

        async def _try_all(self, arguments: Any, options: dict[str, Any]) -> Exception | None:
            refusals: list[Exception] = []
            self.made_at = url.changed_at
            for text in url.candidates():
                known: Any = parse_url(text)
                self.credential_provider = _provider(known.get("username"), known.get("password"))
                try:
                    await super().connect(*arguments, **options)
                except AuthenticationError as error:
                    log.info("redis.password_refused", host=known.get("host"))
                    refusals.append(error)
                else:
                    return None
            return refusals[0]

    for name in ("username", "password"):
        pool.connection_kwargs.pop(name, None)
    pool.connection_class = Connection


def _provider(username: str | None, password: str | None) -> UsernamePasswordCredentialProvider | None:
    return UsernamePasswordCredentialProvider(username, password) if username or password else None
