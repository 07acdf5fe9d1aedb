"""The answer to one request, on its way to the client."""

from collections.abc import Sequence
from typing import Any

from starlette.types import Send

from common.errors import Denied, RateLimited, Unavailable
from infra.gateway.forward import EVENTS, JSON
from infra.gateway.messages import Message, encode
from infra.gateway.translate import CANNOT_BE_ASKED, INPUT_REQUIRED, Upgrade
from infra.gateway.wire import Reply

Header = tuple[bytes, bytes]
TOOL_FAILED = b'"isError":true'
PASSED_STATUS = {200, 400, 404}
"""With these an MCP server says something to the client; 400 and 404 carry JSON-RPC errors."""


async def send_body(send: Send, status: int, body: bytes, headers: Sequence[Header] = ()) -> None:
    """A whole answer."""
    own = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


class Refusal(Exception):
    """The domain does not take the token."""


class Answer:
    """Passes on what the domain says, or says what went wrong."""

    def __init__(self, send: Send, message: Message, upgrade: bool = False) -> None:
        self._send = send
        self._message = message
        self.upgrade = upgrade
        """Whether the domain speaks in the words of before 2026-07-28 and the client does not."""
        self.outcome = "ok"
        self.complete = False
        self._kind: str | None = None
        """Of what has begun to go to the client."""

    async def deliver(self, reply: Reply, first: bytes) -> None:
        """Pass on the answer as it comes. Raises Refusal, Denied, Unavailable instead if it is not for the client."""
        self._check(reply, first)
        if reply.content_type.startswith(JSON) and reply.length == len(first):
            body = self._worded(first, reply)
            self._note(body)
            self.complete = True
            await send_body(self._send, self._status(reply), body)
        else:
            await self._stream(reply, first)

    async def fail(self, text: str) -> None:
        """Say what went wrong. Raises ConnectionAbortedError if half of an answer is out already."""
        failure = encode(self._message.failure(text))
        if self._kind is None:
            self.complete = True
            await send_body(self._send, 200, failure)
        elif self._kind == EVENTS:
            await self._end(b"event: message\r\ndata: " + failure + b"\r\n\r\n")
        else:
            raise ConnectionAbortedError("an answer broke off")

    def _check(self, reply: Reply, first: bytes) -> None:
        if reply.status in (401, 403):
            raise Refusal
        if reply.status == 429:
            raise RateLimited("The domain takes no more calls for now.", "Slow down.", retry_after=5.0)
        if reply.status not in PASSED_STATUS:
            raise Unavailable(f"The domain answered with status {reply.status}.", "Tell the operator.")
        if self._message.era == "legacy" and INPUT_REQUIRED in first:
            raise Denied(CANNOT_BE_ASKED)

    def _status(self, reply: Reply) -> int:
        # Before 2026-07-28 a JSON-RPC error comes with 200; 404 would mean that a session has ended.
        return 200 if self._message.era == "legacy" else reply.status

    def _worded(self, whole: bytes, reply: Reply) -> bytes:
        if not self.upgrade:
            return whole
        upgrade = Upgrade(reply.content_type)
        return upgrade.feed(whole) + upgrade.feed(b"")

    def _note(self, chunk: bytes) -> None:
        if TOOL_FAILED in chunk:
            self.outcome = "error"
        elif INPUT_REQUIRED in chunk:
            self.outcome = "input_required"
        elif b'"error":{' in chunk and b'"result"' not in chunk:
            self.outcome = "error"

    async def _stream(self, reply: Reply, first: bytes) -> None:
        self._kind = EVENTS if reply.content_type.startswith(EVENTS) else JSON
        headers: list[Any] = [
            (b"content-type", self._kind.encode()),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
        ]
        await self._send({"type": "http.response.start", "status": self._status(reply), "headers": headers})
        upgrade = Upgrade(reply.content_type) if self.upgrade else None
        chunk = first
        while chunk:
            self._note(chunk)
            if body := upgrade.feed(chunk) if upgrade else chunk:
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
            chunk = await reply.read()
        await self._end(upgrade.feed(b"") if upgrade else b"")

    async def _end(self, body: bytes) -> None:
        self.complete = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
