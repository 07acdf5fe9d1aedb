"""Asks every replica whether it wants calls, all the time."""

import asyncio
import time
from urllib.parse import urlsplit, urlunsplit

import structlog

from infra.gateway.domain import Domain, Replica, State
from infra.gateway.wire import WireFailure

log = structlog.get_logger(__name__)


class HealthChecks:
    """One loop for each replica, so that none waits for another one."""

    def __init__(self, domains: list[Domain], path: str, seconds: float, timeout_seconds: float) -> None:
        self._domains = domains
        self._path = path
        self._seconds = seconds
        self._timeout = timeout_seconds
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        pairs = [(domain, replica) for domain in self._domains for replica in domain.replicas]
        self._tasks = [asyncio.create_task(self._watch(domain, replica)) for domain, replica in pairs]

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, domain: Domain, replica: Replica) -> None:
        parts = urlsplit(replica.url)
        url = urlunsplit((parts.scheme, parts.netloc, self._path, "", ""))
        failed = 0
        while True:
            state = await self._state(domain, replica, url)
            failed = failed + 1 if state == "down" else 0
            if state != replica.state and failed != 1:
                log.info("gateway.replica", replica=replica.name, state=state, before=replica.state)
                if state == "ready":
                    domain.era = None  # it may be another program now
                replica.state, replica.since = state, time.monotonic()
            await asyncio.sleep(self._seconds)

    async def _state(self, domain: Domain, replica: Replica, url: str) -> State:
        try:
            status = await domain.wire.status(url, self._timeout)
        except WireFailure as failure:
            # One that answers calls is alive, however long it takes for this.
            busy = failure.sent and time.monotonic() - replica.answered < self._timeout
            return replica.state if busy else "down"
        except Exception as error:
            # Without its loop it would stay for good what it is now.
            log.error("gateway.check_failed", replica=replica.name, exc_info=error)
            return "down"
        # A server of somebody else that has no such page is alive.
        return "draining" if status == 503 else "down" if status >= 500 else "ready"
