"""An answer that goes on for long: over a WebSocket if it was opened as one, as server-sent events otherwise.

Both are frames around the same batches. A browser that lost the connection says which place it was told last, and
goes on there, at this or any other replica.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from common.errors import AppError, Unavailable

PING_SECONDS = 15
SEND_SECONDS = 60.0
"""After which a browser that takes nothing any more is left."""
HELLO_SECONDS = 10.0
OVER = "Nothing follows: what was followed is gone."
CLOSE = {"invalid_input": 4400, "denied": 4403, "not_found": 4404, "conflict": 4409, "rate_limited": 4429}
"""4000 and the status that HTTP has for it: to come back with the same question is of no use."""
DONE, UNEXPECTED, TRY_AGAIN = 1000, 1008, 1013
MAX_REASON = 123
"""Bytes, as the protocol demands."""


@dataclass(frozen=True)
class Batch:
    """What a browser gets at once: `data` is JSON. With `place` it can go on after it."""

    data: str
    place: str = ""


Opening = Callable[[str | None], AsyncGenerator[Batch, None]]
"""Opens the stream after a place, or (None) where it begins. Raises AppError; Unavailable: come back."""


class LiveAnswer(EventSourceResponse):
    """For `Page`s with `live=True`."""

    def __init__(self, request: Request, opening: Opening) -> None:
        self._opening = opening
        events = self._events(request.headers.get("last-event-id") or None)
        super().__init__(events, ping=PING_SECONDS, sep="\n", send_timeout=SEND_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self._converse(WebSocket(scope, receive, send))
        await super().__call__(scope, receive, send)

    async def _events(self, after: str | None) -> AsyncGenerator[dict[str, str], None]:
        try:
            async with aclosing(self._opening(after)) as batches:
                async for batch in batches:
                    yield {"id": batch.place, "data": batch.data} if batch.place else {"data": batch.data}
            yield {"event": "end", "data": json.dumps(OVER)}
        except Unavailable:
            # The browser connects anew, here or to another replica, and goes on where it was.
            return
        except AppError as error:
            yield {"event": "end", "data": json.dumps(str(error))}

    async def _converse(self, socket: WebSocket) -> None:
        """The browser says once where it was, an empty text if nowhere, and listens from then on."""
        await socket.accept()
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                after = await socket.receive_text()
        except (TimeoutError, KeyError):
            return await _close(socket, UNEXPECTED, "Say where you were as text, empty if nowhere.")
        except WebSocketDisconnect:
            return
        speaking = asyncio.create_task(self._speak(socket, after or None))
        hearing = asyncio.create_task(socket.receive())
        try:
            await asyncio.wait((speaking, hearing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (hearing, speaking):
                task.cancel()
            heard, said = await asyncio.gather(hearing, speaking, return_exceptions=True)
        if isinstance(said, Exception) and not isinstance(said, TimeoutError | WebSocketDisconnect):
            raise said
        if isinstance(heard, dict) and heard["type"] == "websocket.receive":
            await _close(socket, UNEXPECTED, "Nothing more is to be said here.")

    async def _speak(self, socket: WebSocket, after: str | None) -> None:
        code, reason = DONE, OVER
        try:
            async with aclosing(self._opening(after)) as batches:
                async for batch in batches:
                    # Until it is with the other side: nothing is kept here for who does not read.
                    async with asyncio.timeout(SEND_SECONDS):
                        await socket.send_text(f'{{"place": {json.dumps(batch.place)}, "data": {batch.data}}}')
        except AppError as error:
            code, reason = CLOSE.get(error.code, TRY_AGAIN), str(error)
        await _close(socket, code, reason)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    cut = reason.encode()[:MAX_REASON].decode(errors="ignore")
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code, cut)
