"""What platforms tell of changes: checked, taken once, and turned into what the cache is to forget."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from common.cache.cache import Cache
from common.security.nonces import Nonces
from common.security.webhook_signature import WINDOW_SECONDS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Delivery:
    """A request of a platform."""

    url: str
    """As the platform was told it."""
    headers: Mapping[str, str]
    """Names in lower case."""
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Notice:
    """A message that is genuine. `name` is the same for the same message, and for no other."""

    name: str
    tags: frozenset[str]
    reply: str = ""
    reply_type: str = "text/plain"


class WebhookReader(Protocol):
    """One platform's format."""

    def read(self, delivery: Delivery, now: float) -> Notice:
        """Raises Denied for what is not genuine or too old, ValueError, KeyError or TypeError for a wrong shape."""


class Webhooks:
    """Takes messages of all platforms that have a secret."""

    def __init__(self, readers: Mapping[str, WebhookReader], nonces: Nonces, cache: Cache) -> None:
        self._readers = readers
        self._nonces = nonces
        self._cache = cache

    def knows(self, source: str) -> bool:
        """Whether messages of this platform are taken."""
        return source in self._readers

    async def take(self, source: str, delivery: Delivery, now: float) -> Notice:
        """Forget what changed, everywhere. A message that was taken before is acknowledged, and does nothing."""
        notice = self._readers[source].read(delivery, now)
        is_first = await self._nonces.is_first(f"{source}:{notice.name}", WINDOW_SECONDS * 2)
        if is_first:
            await self._cache.invalidate_tags(*sorted(notice.tags))
        log.info("webhook.taken", source=source, repeated=not is_first, tags=len(notice.tags))
        return notice
