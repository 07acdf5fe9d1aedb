"""Tool calls as the protocol eras put them on the wire, ready to be sent."""

import json
from typing import Any, Literal, get_args

Era = Literal["modern", "legacy"]
ERAS: tuple[Era, ...] = get_args(Era)
_MODERN, _LEGACY = "2026-07-28", "2025-11-25"
_META = {
    "io.modelcontextprotocol/protocolVersion": _MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def tool_call(era: Era, tool: str, arguments: dict[str, Any], progress: bool = False) -> tuple[dict[str, str], bytes]:
    """Headers and body of a call; with `progress` it wants to hear how far it is."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    if era == "modern":
        headers |= {"MCP-Protocol-Version": _MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
        params["_meta"] = _META
    else:
        headers["MCP-Protocol-Version"] = _LEGACY
    if progress:
        params["_meta"] = {**params.get("_meta", {}), "progressToken": 1}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, separators=(",", ":"))
    return headers, body.encode()


def raw_request(
    era: Era, tool: str, arguments: dict[str, Any], port: int, token: str = "", progress: bool = False
) -> bytes:
    """The call as it goes over the connection, which stays open."""
    headers, body = tool_call(era, tool, arguments, progress)
    headers |= {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body))}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body


def structured(answer: bytes) -> dict[str, Any]:
    """The structured content of an answer, plain JSON or a single server-sent event. Raises RuntimeError."""
    data = answer.partition(b"data: ")[2] if answer.startswith(b"event:") else answer
    message = json.loads(data)
    content = message.get("result", {}).get("structuredContent")
    if not isinstance(content, dict):
        raise RuntimeError(f"not the answer of a tool: {answer[:500]!r}")
    return content
