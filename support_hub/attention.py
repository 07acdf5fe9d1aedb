"""Which colleagues dealt with a customer lately, so that two do not do the same work. It costs an answer little."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import structlog

from common.errors import Unavailable
from common.resilience.breaker import Breaker, BreakerLimits
from support_hub.ports import Mark, Marks

SECONDS = 0.1
log = structlog.get_logger(__name__)


class Attention:
    """What colleagues did; without the store that remembers it nobody did anything."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._breaker = Breaker("The store of marks", BreakerLimits(window=5, least_calls=3))

    async def note(self, who: str, did: Literal["viewed", "wrote"], emails: Sequence[str]) -> list[Mark]:
        """What others did lately; this is noted for them in turn."""
        try:
            ticket = self._breaker.admit()
        except Unavailable:
            return []
        began = time.monotonic()
        try:
            async with asyncio.timeout(SECONDS):
                found = await self._marks.of(emails)
                await self._marks.add(emails, Mark(who, did, datetime.now(UTC)))
        except Exception as error:
            # Whatever it is, the answer that the caller asked for is there.
            log.warning("attention.not_noted", error=type(error).__name__)
            self._breaker.record(ticket, True, time.monotonic() - began)
            return []
        except asyncio.CancelledError:
            self._breaker.forget(ticket)
            raise
        self._breaker.record(ticket, False, time.monotonic() - began)
        return [mark for mark in found if mark.who != who]
