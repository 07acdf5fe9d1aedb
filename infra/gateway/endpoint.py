"""`/mcp` of the gateway: reads a request once, decides, and passes it on or answers it."""

from importlib.metadata import version
from typing import Any

import structlog
from mcp.types import METHOD_NOT_FOUND, PARSE_ERROR
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS
from starlette.types import Receive, Scope, Send

from common.errors import AppError
from common.observability.call import request_id
from common.runtime import Runtime
from infra.gateway.asking import era_of
from infra.gateway.caller import Caller, caller_of
from infra.gateway.domains import Domains, Route
from infra.gateway.forward import Outgoing, Trace, forward
from infra.gateway.lists import FIELDS, Lists
from infra.gateway.messages import Message, Refused, encode, read_message
from infra.gateway.outgoing import passed_headers, request_body, request_headers
from infra.gateway.wire import Reply

ROUTED = {
    "tools/call": "tool",
    "prompts/get": "prompt",
    "resources/read": "resource",
    "completion/complete": "completion",
}
EMPTY = {"ping", "logging/setLevel"}
CAPABILITIES = {
    "tools": {"listChanged": False},
    "prompts": {"listChanged": False},
    "resources": {"subscribe": False, "listChanged": False},
    "completions": {},
    "logging": {},
}
INSTRUCTIONS = """One endpoint for several domains. The prefix of a tool's name says whose it is; while a domain is down
its tools stay in the list, and a call says when to try again."""
log = structlog.get_logger(__name__)


class Endpoint:
    """The ASGI application behind the guards."""

    def __init__(self, runtime: Runtime, domains: Domains, lists: Lists, challenge: str) -> None:
        self._runtime = runtime
        self._domains = domains
        self._lists = lists
        self._challenge = challenge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            return await _answer(send, 405, b"", ((b"allow", b"POST"),))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        address = scope["client"][0] if scope.get("client") else ""
        caller = await caller_of(headers, address, self._runtime.credentials)
        if caller is None:
            return await self._sign_in(send, "authorization" in headers)
        try:
            message = read_message(headers, await _body(receive))
        except Refused as refusal:
            return await _answer(send, refusal.status, encode(refusal.body))
        if message.id is None:
            return await _answer(send, 202, b"")
        if message.method in ROUTED:
            return await self._routed(message, headers, caller, send)
        status, answer = await self._own(message, caller)
        await _answer(send, status, encode(answer))

    async def _own(self, message: Message, caller: Caller) -> tuple[int, dict[str, Any]]:
        if message.method in FIELDS:
            return 200, message.result(await self._lists.answer(message.method, caller))
        if message.method == "initialize" and message.era == "legacy":
            return 200, message.result(_hello(message.params.get("protocolVersion")))
        if message.method == "server/discover" and message.era == "modern":
            return 200, message.result(_discovery())
        if message.method in EMPTY and message.era == "legacy":
            return 200, message.result({})
        status = 404 if message.era == "modern" else 200
        return status, message.error(METHOD_NOT_FOUND, f"Method not found: {message.method[:100]}")

    async def _routed(self, message: Message, headers: dict[str, str], caller: Caller, send: Send) -> None:
        route = self._domains.route(message)
        if route is None:
            return await _answer(send, 200, encode(message.failure(_unknown(message))))
        try:
            await self._pass_on(route, message, headers, caller, send)
        except AppError as error:
            await _answer(send, 200, encode(message.failure(str(error))))
        except ValueError:
            await _answer(send, 400, encode(message.error(PARSE_ERROR, "Parse error")))

    async def _pass_on(
        self, route: Route, message: Message, headers: dict[str, str], caller: Caller, send: Send
    ) -> None:
        domain = route.domain
        era = await era_of(domain, caller)
        sent = request_headers(
            era, message.method, route.params, caller.authorization, request_id.get(), caller.address
        )
        if era == "modern":
            sent |= passed_headers(message, headers)
        body = request_body(era, message.id, message.method, route.params)
        outgoing = Outgoing(sent, body, caller.principal.tenant, self._repeatable(route, message, caller))

        async def deliver(reply: Reply, first: bytes) -> None:
            await _stream(send, reply, first)

        await forward(domain, outgoing, deliver, Trace())

    def _repeatable(self, route: Route, message: Message, caller: Caller) -> bool:
        if message.method != "tools/call":
            return True
        listing = self._lists.of(route.domain).known(caller)
        tool = listing.tools.get(route.name, {}) if listing else {}
        hints = tool.get("annotations")
        return isinstance(hints, dict) and (hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True)

    async def _sign_in(self, send: Send, presented: bool) -> None:
        error = 'error="invalid_token", ' if presented else ""
        header = f'Bearer {error}resource_metadata="{self._challenge}"'
        body = encode({"error": "invalid_token", "error_description": "Send a valid key or token as bearer token"})
        await _answer(send, 401, body, ((b"www-authenticate", header.encode()),))


def _hello(requested: Any) -> dict[str, Any]:
    known = requested if requested in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION
    server = {"name": "triptych-gateway", "version": version("triptych")}
    return {
        "protocolVersion": known,
        "capabilities": CAPABILITIES,
        "serverInfo": server,
        "instructions": INSTRUCTIONS,
    }


def _discovery() -> dict[str, Any]:
    server = {"name": "triptych-gateway", "version": version("triptych")}
    return {
        "supportedVersions": list(MODERN_PROTOCOL_VERSIONS),
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": server},
    }


def _unknown(message: Message) -> str:
    name = message.params.get("uri" if message.method == "resources/read" else "name")
    return f"Unknown {ROUTED[message.method]}: {str(name)[:200]!r}"


async def _body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        part = await receive()
        if part["type"] == "http.disconnect":
            raise Refused(PARSE_ERROR, "The body ended early")
        parts.append(part.get("body", b""))
        more = part.get("more_body", False)
    return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes, headers: Any = ()) -> None:
    own = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, reply: Reply, first: bytes) -> None:
    headers = [
        (b"content-type", reply.content_type.encode()),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    chunk = first
    while chunk:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        chunk = await reply.read()
    await send({"type": "http.response.body", "body": b"", "more_body": False})
