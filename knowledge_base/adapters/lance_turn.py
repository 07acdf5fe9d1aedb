"""One writer of a Lance table at a time, over all processes of this machine."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.005


class WriterTurn:
    """Lance lets writers collide and try again, so that a steady stream of small changes would starve a compaction.

    It is about fairness alone: who has waited too long goes on without the lock, and Lance decides.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._here = asyncio.Lock()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for the turn, and give it back."""
        async with self._here:
            opened = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                await self._lock(opened)
                yield
            finally:
                # Closing gives the lock back, also when the process is killed.
                os.close(opened)

    async def _lock(self, opened: int) -> None:
        if sys.platform == "win32":
            return
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            await asyncio.sleep(PAUSE_SECONDS)
