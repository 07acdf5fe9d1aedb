"""A deadline that shrinks as it is passed down: whoever waits for something else asks how long it may."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar, copy_context

from common.errors import DeadlineExceeded

_limit: ContextVar[float | None] = ContextVar("deadline_ends_at", default=None)


def remaining(default: float) -> float:
    """Seconds that an outbound call may take: `default`, or less if the caller's deadline is nearer."""
    limit = _limit.get()
    return default if limit is None else max(0.0, min(default, limit - time.monotonic()))


def ends_at(default: float) -> float:
    """The moment (monotonic clock) that `remaining` counts to."""
    return time.monotonic() + remaining(default)


def without_deadline() -> Context:
    """The current context without its deadline, for work that goes on when its first caller has given up."""
    context = copy_context()
    context.run(_limit.set, None)
    return context


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Bound a block. A nested deadline can only be nearer. Raises DeadlineExceeded."""
    seconds = remaining(seconds)
    token = _limit.set(time.monotonic() + seconds)
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
        _limit.reset(token)
