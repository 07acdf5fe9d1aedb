"""`/mcp` of the gateway: signs in, reads the request once, and passes it on or answers it."""

from importlib.metadata import version
from typing import Any

from mcp.types import METHOD_NOT_FOUND, PARSE_ERROR
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS
from starlette.types import Receive, Scope, Send

from common.errors import AppError
from common.security.identity import Credentials
from infra.gateway.answer import send_body
from infra.gateway.caller import Caller, caller_of
from infra.gateway.calls import KINDS, Calls
from infra.gateway.lists import FIELDS, Lists
from infra.gateway.messages import REQUEST_FAILED, Message, Refused, encode, read_message

EMPTY = {"ping", "logging/setLevel"}
CAPABILITIES = {
    "tools": {"listChanged": False},
    "prompts": {"listChanged": False},
    "resources": {"subscribe": False, "listChanged": False},
    "completions": {},
    "logging": {},
}
SERVER = {"name": "triptych-gateway", "version": version("triptych")}
INSTRUCTIONS = """One endpoint for several domains. The prefix of a tool's name says whose it is; while a domain is down
its tools stay in the list, and a call says when to try again."""


class Endpoint:
    """The ASGI application behind the guards."""

    def __init__(self, credentials: Credentials, calls: Calls, lists: Lists, metadata_url: str) -> None:
        self._credentials = credentials
        self._calls = calls
        self._lists = lists
        self._challenge = f'resource_metadata="{metadata_url}"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            # There is no stream of the server's own, and no session to end.
            return await send_body(send, 405, b"", ((b"allow", b"POST"),))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        address = scope["client"][0] if scope.get("client") else ""
        caller = await caller_of(headers, address, self._credentials)
        if caller is None:
            return await self._sign_in(send, "authorization" in headers)
        try:
            message = read_message(scope["headers"], headers, await _body(receive))
        except Refused as refusal:
            return await send_body(send, refusal.status, encode(refusal.body))
        if message.id is None:
            return await send_body(send, 202, b"")
        if message.method in KINDS:
            return await self._calls.serve(message, headers, caller, receive, send)
        status, answer = await self._own(message, caller)
        await send_body(send, status, encode(answer))

    async def _own(self, message: Message, caller: Caller) -> tuple[int, dict[str, Any]]:
        """What the gateway answers by itself."""
        try:
            await self._calls.limit(caller, "own")
            if message.method in FIELDS:
                return 200, message.result(await self._lists.answer(message.method, caller))
            if message.method == "initialize" and message.era == "legacy":
                return 200, message.result(_hello(message, await self._instructions(caller)))
            if message.method == "server/discover" and message.era == "modern":
                return 200, message.result(_discovery(await self._instructions(caller)))
            if message.method in EMPTY and message.era == "legacy":
                return 200, message.result({})
        except AppError as error:
            return 200, message.error(REQUEST_FAILED, str(error))
        status = 404 if message.era == "modern" else 200
        return status, message.error(METHOD_NOT_FOUND, f"Method not found: {message.method[:100]}")

    async def _instructions(self, caller: Caller) -> str:
        return f"{INSTRUCTIONS}\n\n{await self._lists.instructions(caller)}".strip()

    async def _sign_in(self, send: Send, presented: bool) -> None:
        error = 'error="invalid_token", ' if presented else ""
        body = encode({"error": "invalid_token", "error_description": "Send a valid key or token as bearer token"})
        challenge = f"Bearer {error}{self._challenge}"
        await send_body(send, 401, body, ((b"www-authenticate", challenge.encode()),))


def _hello(message: Message, instructions: str) -> dict[str, Any]:
    requested = message.params.get("protocolVersion")
    known = requested if requested in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION
    common = {"capabilities": CAPABILITIES, "instructions": instructions}
    return {"protocolVersion": known, "serverInfo": SERVER, **common}


def _discovery(instructions: str) -> dict[str, Any]:
    return {
        "supportedVersions": list(MODERN_PROTOCOL_VERSIONS),
        "capabilities": CAPABILITIES,
        "instructions": instructions,
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": SERVER},
    }


async def _body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        part = await receive()
        if part["type"] == "http.disconnect":
            raise Refused(PARSE_ERROR, "The body ended early")
        parts.append(part.get("body", b""))
        more = part.get("more_body", False)
    return b"".join(parts)
