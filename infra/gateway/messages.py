"""JSON-RPC messages of MCP as the gateway needs them: read once, checked, answered in the words of the client's era."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
)
from mcp_types import HEADER_MISMATCH, INVALID_REQUEST, PARSE_ERROR
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

Era = Literal["modern", "legacy"]
REQUEST_FAILED = -32000
"""A request that failed outside of a tool."""
INVALID_BODY = "Body must be a single JSON-RPC request or notification object"


class Refused(Exception):
    """A request that is no valid MCP; a JSON-RPC error with an HTTP status."""

    def __init__(self, code: int, message: str, data: Any = None, id: int | str | None = None) -> None:
        super().__init__(message)
        self.id = id
        self.status = ERROR_CODE_HTTP_STATUS.get(code, 400)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})

    @property
    def body(self) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": self.id, "error": self.error}


@dataclass(slots=True)
class Message:
    """A request, or a notification if it has no id."""

    id: int | str | None
    method: str
    params: dict[str, Any]
    era: Era

    @property
    def meta(self) -> dict[str, Any]:
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}

    def result(self, value: dict[str, Any]) -> dict[str, Any]:
        """The answer that carries this result."""
        if self.era == "modern":
            value = {"resultType": "complete", **value}
        return {"jsonrpc": "2.0", "id": self.id, "result": value}

    def tool_error(self, text: str) -> dict[str, Any]:
        """The answer of a tool that failed: the model reads it."""
        return self.result({"content": [{"type": "text", "text": text}], "isError": True})

    def error(self, code: int, text: str) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": self.id, "error": {"code": code, "message": text}}

    def failure(self, text: str) -> dict[str, Any]:
        """What went wrong, where whoever asked reads it."""
        return self.tool_error(text) if self.method == "tools/call" else self.error(REQUEST_FAILED, text)


def encode(value: Any) -> bytes:
    """Compact JSON. Raises ValueError for a number that JSON does not have."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def read_message(raw: Iterable[tuple[bytes, bytes]], headers: Mapping[str, str], body: bytes) -> Message:
    """Raises Refused. Of a name that stands twice in an object the last value counts, here and at the domain."""
    try:
        decoded = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(PARSE_ERROR, "Parse error") from None
    if not isinstance(decoded, dict) or decoded.get("jsonrpc") != "2.0" or not isinstance(decoded.get("method"), str):
        raise Refused(INVALID_REQUEST, INVALID_BODY)
    params = decoded.get("params")
    params = {} if params is None else params
    if not isinstance(params, dict):
        raise Refused(INVALID_REQUEST, INVALID_BODY)
    version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
    era: Era = "legacy" if version is None or version in HANDSHAKE_PROTOCOL_VERSIONS else "modern"
    if "id" not in decoded:
        return Message(None, decoded["method"], params, era)
    identifier = decoded["id"]
    if isinstance(identifier, bool) or not isinstance(identifier, int | str):
        raise Refused(INVALID_REQUEST, INVALID_BODY)
    if era == "modern":
        pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)
        if twice := find_duplicated_routing_header(pairs):
            # One reader would go by the first, another one by the last.
            raise Refused(HEADER_MISMATCH, f"{twice} header appears more than once", id=identifier)
        verdict = classify_inbound_request(decoded, headers=headers)
        if isinstance(verdict, InboundLadderRejection):
            raise Refused(verdict.code, verdict.message, verdict.data, identifier)
    return Message(identifier, decoded["method"], params, era)
