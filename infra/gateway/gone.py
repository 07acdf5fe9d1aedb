"""Notices that a client has gone away, so that nobody works on for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.types import Receive


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@asynccontextmanager
async def until_gone(receive: Receive, is_over: Callable[[], bool]) -> AsyncIterator[None]:
    """Cancel the block when the client leaves before `is_over`. Raises ClientGone then."""
    running = asyncio.current_task()
    assert running is not None  # noqa: S101 - this is a coroutine
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        if not is_over():
            gone = True
            running.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone or running.uncancel():
            raise
        raise ClientGone from None
    finally:
        watching.cancel()
