"""Where work comes in: while too much waits it says no, so that who sends it slows down; what got in is rung for."""

import math
import time

from common.errors import Unavailable
from common.jobs.bell import Bell
from common.jobs.queue import JobQueue

COUNT_SECONDS = 1.0
"""The queue is counted at most so often."""
LEAST_SECONDS, MOST_SECONDS = 1.0, 60.0


class Intake:
    """A bound on waiting jobs. It is about right: what others add within a second is not known yet."""

    def __init__(self, queue: JobQueue, bell: Bell, most: int, jobs_per_ring: int) -> None:
        self._queue = queue
        self._bell = bell
        self._most = most
        self._per_ring = jobs_per_ring
        self._waiting = 0
        self._counted = float("-inf")
        self._per_second = 0.0

    async def admit(self, count: int = 1) -> None:
        """Raises Unavailable, which says after how many seconds to try again."""
        await self._count()
        # A batch that is larger than the bound gets in when nothing waits.
        if self._waiting and self._waiting + count > self._most:
            wait = self._wait(self._waiting + count - self._most)
            hint = "What was taken in before is safe. An operator can add workers (`triptych worker`)."
            raise Unavailable(f"{self._waiting:,} documents are waiting to be worked on.", hint, retry_after=wait)
        self._waiting += count

    async def announce(self, count: int) -> None:
        """Wake workers for so many new jobs. If that fails they find them by themselves, a little later."""
        if count:
            await self._bell.ring(math.ceil(count / self._per_ring))

    async def _count(self) -> None:
        now = time.monotonic()
        if now - self._counted < COUNT_SECONDS:
            return
        before, since, self._waiting = self._waiting, now - self._counted, await self._queue.pending()
        self._per_second = max(0.0, before - self._waiting) / since
        self._counted = now

    def _wait(self, too_many: int) -> float:
        """Until there is room, at the rate at which the queue got shorter lately."""
        seconds = too_many / self._per_second if self._per_second else MOST_SECONDS / 4
        return round(min(max(seconds, LEAST_SECONDS), MOST_SECONDS), 1)
