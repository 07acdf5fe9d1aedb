"""Sends a platform's webhooks, with retries, to the subscriber that the control endpoint named."""

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from infra.crm.platform import Change, Delivery, Platform

TRIES = 4
FIRST_WAIT, TIMEOUT = 0.2, 5.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class WebhookSender:
    """One queue and one task for each platform, so that deliveries keep the order of the changes."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._queue: asyncio.Queue[Change] = asyncio.Queue()
        self.counts: Counter[str] = Counter()
        self.url: str | None = None
        platform.listeners.append(self._enqueue)

    def subscribe(self, url: str | None) -> None:
        """Name the subscriber. Raises ValueError unless it is on this machine: a simulator calls nobody else."""
        if url is not None and (
            urlsplit(url).scheme not in ("http", "https") or urlsplit(url).hostname not in LOOPBACK
        ):
            raise ValueError("the subscriber must be an http(s) URL on 127.0.0.1, localhost or ::1")
        self.url = url

    def report(self) -> dict[str, Any]:
        """Who is told, and what became of it."""
        return {"url": self.url, "queued": self._queue.qsize(), **self.counts}

    def _enqueue(self, change: Change) -> None:
        if self.url:
            self._queue.put_nowait(change)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT)) as session:
            while True:
                change = await self._queue.get()
                for delivery in self._platform.deliveries(change, self.url or "") if self.url else ():
                    self.counts["delivered" if await self._deliver(session, delivery) else "given_up"] += 1

    async def _deliver(self, session: aiohttp.ClientSession, delivery: Delivery) -> bool:
        for attempt in range(TRIES):
            if attempt:
                self.counts["retries"] += 1
                await asyncio.sleep(FIRST_WAIT * 2**attempt)
            if not self.url:
                return False
            try:
                async with session.post(
                    self.url, data=delivery.body, headers=delivery.headers, allow_redirects=False
                ) as response:
                    if response.status < 300 and self._platform.acknowledged(await response.read()):
                        return True
            except (aiohttp.ClientError, TimeoutError):
                continue
        return False
