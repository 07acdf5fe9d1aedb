"""Questions of the gateway's own to a domain, with the token of the caller for whom it asks."""

import json
from typing import Any

from mcp.types import INTERNAL_ERROR, METHOD_NOT_FOUND
from mcp_types.version import LATEST_HANDSHAKE_VERSION

from common.errors import Unavailable
from common.observability.call import request_id
from infra.gateway.caller import Caller
from infra.gateway.domain import Domain
from infra.gateway.forward import EVENTS, BadAnswer, Outgoing, Trace, forward
from infra.gateway.messages import REQUEST_FAILED, Era
from infra.gateway.outgoing import request_body, request_headers
from infra.gateway.wire import Reply

MOST_BYTES = 8 * 1024 * 1024
MOST_PAGES = 50
HELLO = {
    "protocolVersion": LATEST_HANDSHAKE_VERSION,
    "capabilities": {},
    "clientInfo": {"name": "triptych-gateway", "version": "1"},
}


class Rejected(Exception):
    """The domain answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


async def ask(domain: Domain, caller: Caller, era: Era, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result. Raises Rejected, Unavailable; NotAccepted if the domain does not take the token."""
    parts: list[bytes] = []
    answer: list[Reply] = []

    async def collect(reply: Reply, first: bytes) -> None:
        answer.append(reply)
        size, chunk = 0, first
        while chunk:
            size += len(chunk)
            if size > MOST_BYTES:
                raise BadAnswer("too large", sent=True)
            parts.append(chunk)
            chunk = await reply.read()

    domain.check_accepts(caller.digest)
    token = await domain.passport.token(caller)
    headers = request_headers(era, method, params, token, request_id.get(), caller.address)
    outgoing = Outgoing(headers, request_body(era, 1, method, params), caller.principal.tenant, repeatable=True)
    await forward(domain, outgoing, collect, Trace())
    [reply] = answer
    if reply.status in (401, 403):
        raise domain.refused(caller.digest)
    return _result(domain, reply.content_type, b"".join(parts))


def _unwilling(domain: Domain) -> Unavailable:
    return Unavailable(f"{domain.prefix} does not say now what it has.", "Try again later.")


def _result(domain: Domain, content_type: str, body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(_last_event(body) if content_type.startswith(EVENTS) else body)
        if error := message.get("error"):
            raise Rejected(int(error["code"]), str(error["message"]))
        result = message["result"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unavailable(f"{domain.prefix} did not answer as an MCP server does.", "Try again later.") from None
    if not isinstance(result, dict):
        raise Unavailable(f"{domain.prefix} did not answer as an MCP server does.", "Try again later.")
    return result


def _last_event(body: bytes) -> bytes:
    """The data of the last server-sent event: the answer, behind all notifications."""
    data = [line[5:] for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:")]
    return data[-1] if data else b""


async def discover(domain: Domain, caller: Caller) -> str:
    """The domain's instructions for the model; notes in which era it is spoken to: in that of 2026-07-28 if it can."""
    try:
        found = await ask(domain, caller, "modern", "server/discover", {})
        domain.era = "modern"
    except Rejected as error:
        # Only what a server says that knows the question; another one may have taken its place.
        if domain.era == "modern" and error.code in (REQUEST_FAILED, INTERNAL_ERROR):
            raise _unwilling(domain) from error
        # It does not know the question, so it is older; initialize asks for nothing that would have to be kept.
        found = await ask(domain, caller, "legacy", "initialize", HELLO)
        domain.era = "legacy"
    instructions = found.get("instructions")
    return instructions if isinstance(instructions, str) else ""


async def era_of(domain: Domain, caller: Caller) -> Era:
    """The era in which the domain is spoken to."""
    if domain.era is None:
        await discover(domain, caller)
    return domain.era or "legacy"


async def ask_for_all(domain: Domain, caller: Caller, method: str, field: str) -> list[dict[str, Any]]:
    """All pages of a list; empty if the domain has no such list. Raises Unavailable if it has, and does not give it."""
    era = await era_of(domain, caller)
    items: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    for _ in range(MOST_PAGES):
        try:
            result = await ask(domain, caller, era, method, params)
        except Rejected as error:
            if error.code != METHOD_NOT_FOUND:
                raise _unwilling(domain) from error
            return items
        found = result.get(field)
        items += [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
        cursor = result.get("nextCursor")
        if not isinstance(cursor, str) or not cursor:
            break
        params = {"cursor": cursor}
    return items
