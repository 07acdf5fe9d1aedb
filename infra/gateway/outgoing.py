"""A request as its domain gets it: in the domain's era, with the caller's own token, and nothing else of the caller."""

from collections.abc import Mapping
from typing import Any

from mcp.shared.inbound import NAME_BEARING_METHODS, encode_header_value
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from infra.gateway.messages import Era, Message, encode

PASSED_ON = ("traceparent", "tracestate")
PARAMETERS = "mcp-param-"
OWN_META = {
    PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
    CLIENT_INFO_META_KEY: {"name": "triptych-gateway", "version": "1"},
    CLIENT_CAPABILITIES_META_KEY: {},
}
"""What the gateway says of itself, for itself and for clients of before 2026-07-28, which cannot be asked anything."""
TASKS = "io.modelcontextprotocol/tasks"


def request_body(era: Era, id: int | str | None, method: str, params: dict[str, Any]) -> bytes:
    """The JSON-RPC request. Raises ValueError for what is no JSON."""
    meta = params.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    if era == "modern":
        told = _without_tasks(meta) if PROTOCOL_VERSION_META_KEY in meta else {**meta, **OWN_META}
        if told is not meta:
            params = {**params, "_meta": told}
    elif meta:
        kept = {key: value for key, value in meta.items() if not key.startswith("io.modelcontextprotocol/")}
        params = {**params, "_meta": kept}
    return encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def _without_tasks(meta: dict[str, Any]) -> dict[str, Any]:
    """A task would have to be asked for where it is, and the gateway passes on calls alone: the domain makes none."""
    capabilities = meta.get(CLIENT_CAPABILITIES_META_KEY)
    extensions = capabilities.get("extensions") if isinstance(capabilities, dict) else None
    if not isinstance(extensions, dict) or TASKS not in extensions:
        return meta
    kept = {name: value for name, value in extensions.items() if name != TASKS}
    return {**meta, CLIENT_CAPABILITIES_META_KEY: {**capabilities, "extensions": kept}}  # type: ignore[dict-item]


def request_headers(
    era: Era, method: str, params: Mapping[str, Any], token: str, request_id: str, address: str = ""
) -> dict[str, str]:
    """Headers that say the same as the body; made anew, so that no header of the caller decides anything."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
        "X-Request-Id": request_id,
        "MCP-Protocol-Version": LATEST_MODERN_VERSION if era == "modern" else LATEST_HANDSHAKE_VERSION,
    }
    if address:
        headers["X-Forwarded-For"] = address
    if era == "modern":
        headers["Mcp-Method"] = method
        name = params.get(NAME_BEARING_METHODS.get(method, ""))
        if isinstance(name, str):
            headers["Mcp-Name"] = encode_header_value(name)
    return headers


def passed_headers(message: Message, headers: Mapping[str, str]) -> dict[str, str]:
    """What of the caller's headers the domain gets: the trace, and arguments that are mirrored into headers."""
    kept = {name: headers[name] for name in PASSED_ON if name in headers}
    if message.era == "modern":
        kept |= {name: value for name, value in headers.items() if name.startswith(PARAMETERS)}
    return kept
