"""What happens to a request before anything reads it: id, host and origin, size, credentials, failed sign-ins."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import quote

import structlog
from fastmcp.server.http import HostOriginGuardMiddleware
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.observability.call import new_request_id, request_id
from common.resilience.failures import FailureLimit

log = structlog.get_logger(__name__)
SIGN_IN_WAIT = "triptych.sign_in_wait"
"""In the scope of a console request that must be refused: the seconds until the next sign-in is looked at."""
OnFailure = Callable[[str, str, str], Awaitable[None]]
"""Called with client address, request id and path."""


BEGINNINGS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}


def as_request(scope: Scope) -> Scope:
    """The request that a WebSocket began as, for what knows requests alone; who opens one reads failures as JSON."""
    if scope["type"] != "websocket":
        return scope
    headers = [*(pair for pair in scope["headers"] if pair[0] != b"accept"), (b"accept", b"application/json")]
    scheme = "https" if scope["scheme"] in ("wss", "https") else "http"
    return {**scope, "type": "http", "method": "GET", "scheme": scheme, "headers": headers}


class RequestId:
    """Gives each request an id, and returns it in `X-Request-Id`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        identifier = new_request_id(Headers(scope=scope).get("x-request-id"))
        token = request_id.set(identifier)

        async def send_with_id(message: Message) -> None:
            if message["type"] in BEGINNINGS:
                MutableHeaders(scope=message)["X-Request-Id"] = identifier
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            request_id.reset(token)


class WebSocketGuard:
    """Host and origin of WebSockets, as of all other requests: the guard of those lets WebSockets pass unseen."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str], allowed_origins: Sequence[str]) -> None:
        self.app = app
        self.allowed = (allowed_hosts, allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return await self.app(scope, receive, send)

        async def passed(*_: object) -> None:
            await self.app(scope, receive, send)

        async def refused(message: Message) -> None:
            await send({**message, "type": f"websocket.{message['type']}"})

        await HostOriginGuardMiddleware(passed, *self.allowed, mode="strict")(as_request(scope), receive, refused)


class RequestSizeLimit:
    """Refuses a body that is too large, declared or not, before it is in memory.

    `larger` has the limits of single paths.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        limit = self.larger.get(scope["path"], self.max_bytes)
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > limit:
            return await _too_large(limit)(scope, receive, send)
        await self._stream(limit, scope, receive, send)

    async def _stream(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        seen, too_large, started = 0, False, False

        async def counted() -> Message:
            nonlocal seen, too_large
            message = await receive()
            seen += len(message.get("body", b""))
            if seen <= limit:
                return message
            # The application sees the client go away, so nothing half-read is used.
            too_large = True
            return {"type": "http.disconnect"}

        async def guarded(message: Message) -> None:
            nonlocal started
            if not too_large:
                started = True
                await send(message)

        try:
            await self.app(scope, counted, guarded)
        except Exception:
            if not too_large:
                raise
        if too_large and not started:
            await _too_large(limit)(scope, receive, send)


class SignInGuard:
    """Accepts `X-API-Key`, and limits and records failed sign-ins by client address."""

    def __init__(self, app: ASGIApp, failures: FailureLimit, on_failure: OnFailure) -> None:
        self.app = app
        self.on_failure = on_failure
        self.failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        address = scope["client"][0] if scope.get("client") else "unknown"
        wait = await self.failures.wait(address) if _presents_credentials(scope) else 0.0
        if wait:
            # Not even looked at: a guesser learns nothing, right or wrong.
            if _is_browser(scope):
                return await self.app({**scope, SIGN_IN_WAIT: wait}, receive, send)
            return await _too_many(wait)(scope, receive, send)
        await self.app(_with_bearer(scope), receive, self._watch(scope, address, send))

    def _watch(self, scope: Scope, address: str, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                # A first request without credentials is how OAuth clients begin; it is no attempt.
                if _presents_credentials(scope):
                    await self.failures.count(address)
                    await self.on_failure(address, request_id.get(), quote(scope["path"])[:200])
            await send(message)

        return watched


def _presents_credentials(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "authorization" in headers or "x-api-key" in headers or scope["path"].endswith("/sign-in")


def _is_browser(scope: Scope) -> bool:
    # The console refuses by itself then, with a page.
    return scope["path"].startswith("/console/") and "text/html" in Headers(scope=scope).get("accept", "")


def _with_bearer(scope: Scope) -> Scope:
    headers = Headers(scope=scope)
    key = headers.get("x-api-key")
    if key is None or "authorization" in headers:
        return scope
    raw = [pair for pair in scope["headers"] if pair[0] != b"x-api-key"]
    return {**scope, "headers": [*raw, (b"authorization", b"Bearer " + key.encode())]}


def _too_large(limit: int) -> JSONResponse:
    message = f"The request is larger than {limit} bytes: send less at once"
    return JSONResponse({"error": message}, status_code=413, headers={"Connection": "close"})


def _too_many(wait: float) -> JSONResponse:
    seconds = str(int(wait) + 1)
    body = {"error": f"Too many failed sign-ins from this address. Retry in {seconds} s with a valid key."}
    return JSONResponse(body, status_code=429, headers={"Retry-After": seconds})
