"""A bulkhead: only so many calls at once, and only so many that wait, so that one upstream cannot take everything."""

import asyncio
from collections import deque

from common.errors import Unavailable


class Bulkhead:
    """Use it as `async with bulkhead:` around a call. Belongs to one event loop."""

    def __init__(self, name: str, limit: int, queue: int, queue_seconds: float) -> None:
        self.name = name
        self.limit = limit
        self.running = 0
        self._queue = queue
        self._seconds = queue_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def __aenter__(self) -> None:
        """Take a place. Raises Unavailable if there is none in time."""
        if self.running < self.limit and not self._waiting:
            self.running += 1
            return
        if len(self._waiting) >= self._queue:
            raise self._full()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came in the same moment
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise self._full() from None
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the place is handed over
                return
        self.running -= 1

    def _full(self) -> Unavailable:
        return Unavailable(f"{self.name} has as many calls as it can take.", "Ask for less at once.", retry_after=1.0)
