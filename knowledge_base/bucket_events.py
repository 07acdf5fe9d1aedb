"""What object stores tell of changes: each notice counts once, and makes the sources it is about be looked at.

Nothing in a notice is believed but which bucket and key it names: the bucket itself says what has changed.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import structlog

from common.security.nonces import Nonces
from knowledge_base.documents import FolderSource
from knowledge_base.ports import SourceStore

WINDOW_SECONDS = 24 * 3600.0
"""How old a notice may be: stores try again for a day. As long its name is remembered."""
PAUSE_SECONDS = 2.0
"""Between two passes over one bucket; notices that come meanwhile share one."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class BucketEvent:
    """An object was written or deleted. `name` is the same for the same notice, and for no other."""

    name: str
    bucket: str
    key: str
    at: float


def read_events(body: Any) -> list[BucketEvent]:
    """Of S3 (and what speaks it), EventBridge or Event Grid. Raises ValueError, KeyError, TypeError, AttributeError."""
    if isinstance(body, list):
        return [_of_azure(each) for each in body]
    if "Records" in body:
        return [_of_s3(each) for each in body["Records"]]
    return [_of_bridge(body)]


def validation_code(body: Any) -> str | None:
    """What Event Grid wants to hear back when it is told of an address."""
    kinds = "Microsoft.EventGrid.SubscriptionValidationEvent"
    if isinstance(body, list) and body and body[0].get("eventType") == kinds:
        return str(body[0]["data"]["validationCode"])
    return None


class BucketEvents:
    """Looks at buckets when it is told to; for each source one pass at a time."""

    def __init__(self, sources: SourceStore, run: Callable[[FolderSource], Awaitable[Any]], nonces: Nonces) -> None:
        self._sources = sources
        self._run = run
        self._nonces = nonces
        self._wanted: set[tuple[str, str]] = set()
        self._passes: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def take(self, events: Iterable[BucketEvent], now: float | None = None) -> int:
        """Returns how many of the notices were new. Notices of no source of ours do nothing."""
        moment = time.time() if now is None else now
        recent = [event for event in events if abs(moment - event.at) <= WINDOW_SECONDS]
        # Before a notice counts: what fails after that, the store would tell in vain.
        sources, fresh = await self._sources.registered() if recent else [], 0
        for event in recent:
            if await self._is_first(event):
                fresh += 1
                for source in sources:
                    if _concerns(source, event):
                        self._look_at(source)
        return fresh

    async def idle(self) -> None:
        """Wait until all passes are done."""
        while self._passes:
            await asyncio.wait(self._passes.values())

    async def close(self) -> None:
        """Stop; what was not done is done by the next pass."""
        passes = list(self._passes.values())
        for each in passes:
            each.cancel()
        await asyncio.gather(*passes, return_exceptions=True)
        await self._nonces.close()

    async def _is_first(self, event: BucketEvent) -> bool:
        return await self._nonces.is_first(event.name, 2 * WINDOW_SECONDS)

    def _look_at(self, source: FolderSource) -> None:
        place = (source.tenant, source.name)
        self._wanted.add(place)
        if place not in self._passes:
            self._passes[place] = asyncio.create_task(self._look(place, source))

    async def _look(self, place: tuple[str, str], source: FolderSource) -> None:
        try:
            while place in self._wanted:
                self._wanted.discard(place)
                try:
                    await self._run(source)
                except Exception as error:
                    log.error("bucket.pass_failed", source=source.name, exc_info=error)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            del self._passes[place]


def _concerns(source: FolderSource, event: BucketEvent) -> bool:
    scheme, _, rest = source.root.partition("://")
    bucket, _, prefix = rest.strip("/").partition("/")
    below = not prefix or event.key == prefix or event.key.startswith(f"{prefix}/")
    return scheme in ("s3", "az") and bucket == event.bucket and below


def _of_s3(record: dict[str, Any]) -> BucketEvent:
    found, at = record["s3"], str(record["eventTime"])
    bucket, key = str(found["bucket"]["name"]), unquote_plus(str(found["object"]["key"]))
    # Two notices of one object have different sequencers; what has none is told apart by its time.
    name = json.dumps([record["eventName"], bucket, key, found["object"].get("sequencer"), at])
    return BucketEvent(f"s3:{name}", bucket, key, _seconds(at))


def _of_bridge(event: dict[str, Any]) -> BucketEvent:
    detail = event["detail"]
    name = f"bridge:{event['id']}"
    return BucketEvent(name, str(detail["bucket"]["name"]), str(detail["object"]["key"]), _seconds(event["time"]))


def _of_azure(event: dict[str, Any]) -> BucketEvent:
    container, _, key = urlsplit(str(event["data"]["url"])).path.lstrip("/").partition("/")
    return BucketEvent(f"azure:{event['id']}", container, key, _seconds(event["eventTime"]))


def _seconds(time_: str) -> float:
    """Raises ValueError for a time without zone."""
    found = datetime.fromisoformat(time_)
    if found.tzinfo is None:
        raise ValueError("a time needs its zone")
    return found.timestamp()
