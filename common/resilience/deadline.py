"""A deadline that shrinks as it is passed down: whoever waits for something else asks how long it may."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from common.errors import DeadlineExceeded

_ends_at: ContextVar[float | None] = ContextVar("deadline_ends_at", default=None)


def remaining(default: float) -> float:
    """Seconds that an outbound call may take: `default`, or less if the caller's deadline is nearer."""
    ends_at = _ends_at.get()
    return default if ends_at is None else max(0.0, min(default, ends_at - time.monotonic()))


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Bound a block. A nested deadline can only be nearer. Raises DeadlineExceeded."""
    seconds = remaining(seconds)
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        async with asyncio.timeout(seconds) as scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise DeadlineExceeded(
            f"The call did not finish within {seconds:.0f} s.", "Ask for less at once, or try again later."
        ) from None
    finally:
        _ends_at.reset(token)
