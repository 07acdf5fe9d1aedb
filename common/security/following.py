"""What runs beside a server whose settings hold references: secrets are read again, and each access is recorded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from common.observability.call import new_request_id
from common.security.audit import AuditLog, AuditRecord, AuditUnavailable
from common.security.secret_cache import known_cache
from common.security.secret_settings import SecretSettings
from common.security.secrets import SecretCache

CHECKS_PER_TTL = 4
log = structlog.get_logger(__name__)


@asynccontextmanager
async def following_secrets(settings: SecretSettings, audit: AuditLog, server: str) -> AsyncIterator[None]:
    """Notice changed secrets within their time to live. Without references there is nothing to do."""
    cache = known_cache(settings)
    if cache is None:
        yield
        return
    record_accesses(cache, audit, server)
    following = asyncio.create_task(_follow(cache, audit, server))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        record_accesses(cache, audit, server)


async def _follow(cache: SecretCache, audit: AuditLog, server: str) -> None:
    while True:
        await asyncio.sleep(cache.ttl_seconds / CHECKS_PER_TTL)
        try:
            await asyncio.to_thread(cache.refresh)
            record_accesses(cache, audit, server)
        except Exception as error:
            # Nobody would notice its end before the next change. The text may hold a value.
            log.error("secret.following_failed", error=type(error).__name__)


def record_accesses(cache: SecretCache, audit: AuditLog, server: str) -> None:
    """One audit record for each question to the store: who asked for which version of what, never the value."""
    for access in cache.drain():
        detail = {"path": access.path, "version": access.version, "store": access.store}
        with suppress(AuditUnavailable):
            audit.append(
                AuditRecord(
                    "event",
                    "secret_read",
                    new_request_id(),
                    subject=f"server:{server}",
                    outcome=access.outcome,
                    detail=detail,
                )
            )
