"""Carries notices out of the outbox: each channel by itself, so that one that stands still holds nothing else up."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import structlog

from common.errors import AppError
from devops.notify.notice import Notice
from devops.notify.ports import Notifier, Outbox

PAUSE_SECONDS = 1.0
PRUNE_SECONDS = 3600.0
BATCH = 20
FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0
GIVE_UP_SECONDS = 86_400.0
log = structlog.get_logger(__name__)


class Gone(AppError):
    """The other side says that it will never take it."""

    code = "not_found"


class Courier:
    """Delivers at least once: a process that dies after the delivery leaves the row, and it is sent again."""

    def __init__(
        self,
        outbox: Outbox,
        notifiers: Sequence[Notifier],
        counted: Callable[[str, str], None] = lambda channel, outcome: None,
    ) -> None:
        self._outbox = outbox
        self.notifiers = notifiers
        self._counted = counted

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for notifier in self.notifiers:
                group.create_task(self._carry_forever(notifier))
            group.create_task(self._prune_forever())

    async def close(self) -> None:
        """Close the channels."""
        await asyncio.gather(*(notifier.close() for notifier in self.notifiers), return_exceptions=True)

    async def carry(self, notifier: Notifier) -> int:
        """What is due now; how many were taken up."""
        taken = await self._outbox.take(notifier.channel, BATCH)
        for notice in taken:
            await self._deliver(notifier, notice)
        return len(taken)

    async def _deliver(self, notifier: Notifier, notice: Notice) -> None:
        try:
            await notifier.send(notice)
        except Exception as error:
            # What the other side answered may hold anything: only our own words are kept.
            problem = error.message if isinstance(error, AppError) else type(error).__name__
            await self._failed(notice, problem, isinstance(error, Gone))
        else:
            await self._outbox.sent(notice)
            self._counted(notice.channel, "sent")

    async def _failed(self, notice: Notice, problem: str, is_gone: bool) -> None:
        if is_gone or time.time() - notice.at > GIVE_UP_SECONDS:
            log.error("notice.given_up", channel=notice.channel, notice=notice.id, kind=notice.kind, problem=problem)
            await self._outbox.give_up(notice, problem)
            self._counted(notice.channel, "given_up")
            return
        log.warning("notice.not_sent", channel=notice.channel, notice=notice.id, problem=problem)
        await self._outbox.again(notice, problem, wait_after(notice.tries))
        self._counted(notice.channel, "failed")

    async def _carry_forever(self, notifier: Notifier) -> None:
        while True:
            taken = 0
            try:
                taken = await self.carry(notifier)
            except Exception as error:
                log.warning("notice.round_failed", channel=notifier.channel, error=type(error).__name__)
            if not taken:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _prune_forever(self) -> None:
        while True:
            try:
                await self._outbox.prune()
            except Exception as error:
                log.warning("notice.not_pruned", error=type(error).__name__)
            await asyncio.sleep(PRUNE_SECONDS)


def wait_after(tries: int) -> float:
    """Seconds until the next try: 5, 10, 20 ... an hour, and a little by chance."""
    longest: float = min(FIRST_WAIT * 2 ** min(tries, 20), LONGEST_WAIT)
    return longest * random.uniform(0.8, 1.2)  # noqa: S311
