"""The tools of one or several MCP servers as a model sees them. Their results are data, between marks."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastmcp import Client

from common.security.untrusted import untrusted

MAX_CHARS = 60_000
"""Of one result; a model that needs more asks for the next page."""
SECONDS = 60.0
MAX_NAME = 64


@dataclass(frozen=True)
class Used:
    """A call of the model, and what came of it."""

    name: str
    arguments: Mapping[str, Any]
    ok: bool
    seconds: float
    block: dict[str, Any] = field(repr=False)
    """The result as the model gets it."""

    @property
    def said(self) -> str:
        """The text of the result."""
        content = self.block["content"]
        text = content if isinstance(content, str) else "\n".join(each.get("text", "") for each in content)
        # Without the marks, which are for the model.
        lines = text.splitlines()
        return "\n".join(lines[2:-1]) if len(lines) > 3 and lines[1].startswith("<untrusted-") else text


class Toolbox:
    """Read-only tools. With several servers, each tool's name begins with its server's prefix."""

    def __init__(self, clients: Mapping[str, Client[Any]]) -> None:
        self._clients = clients
        self._known: dict[str, tuple[Client[Any], str]] = {}

    async def offer(self) -> list[dict[str, Any]]:
        """What the model is told about, always in the same order, so that it can be cached."""
        found: dict[str, dict[str, Any]] = {}
        for prefix, client in sorted(self._clients.items()):
            for tool in await client.list_tools():
                if not (tool.annotations and tool.annotations.read_only_hint):
                    continue
                name = f"{prefix}_{tool.name}"[:MAX_NAME] if len(self._clients) > 1 else tool.name
                self._known[name] = (client, tool.name)
                found[name] = {"name": name, "description": tool.description or "", "input_schema": tool.input_schema}
        offered = [found[name] for name in sorted(found)]
        if offered:
            offered[-1]["cache_control"] = {"type": "ephemeral"}
        return offered

    async def use(self, use_id: str, name: str, arguments: Any) -> Used:
        """Call a tool. Whatever goes wrong is told to the model, which may do better."""
        started, ok = time.monotonic(), False
        content: str | list[dict[str, Any]]
        if name not in self._known:
            content = "There is no such tool."
        elif not isinstance(arguments, dict):
            content = "The arguments are no object."
        else:
            ok, content = await self._call(*self._known[name], arguments)
        block = {"type": "tool_result", "tool_use_id": use_id, "is_error": not ok, "content": content}
        seconds = time.monotonic() - started
        return Used(name, arguments if isinstance(arguments, dict) else {}, ok, seconds, block)

    async def _call(self, client: Client[Any], tool: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
        try:
            result = await client.call_tool(tool, arguments, raise_on_error=False, timeout=SECONDS)
        except Exception as error:
            return False, f"The server did not answer ({type(error).__name__}). Go on without it, and say so."
        structured = result.structured_content or {}
        passages = _passages(structured)
        if passages and not result.is_error:
            return True, passages
        texts = [block.text for block in result.content if block.type == "text"]
        said = "\n".join(texts) or json.dumps(structured, ensure_ascii=False)
        return not result.is_error, untrusted(said, MAX_CHARS).fenced


def _passages(structured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Passages with a citation, as blocks that the API can cite; whatever else was in the answer goes with them."""
    items = structured.get("items")
    cited = [item for item in items if _is_passage(item)] if isinstance(items, list) else []
    if not cited:
        return []
    blocks: list[dict[str, Any]] = [
        {
            "type": "search_result",
            "source": str(item["citation"]),
            "title": f"{untrusted(str(item.get('title', '')), 200).text} (version {item.get('version', '?')})",
            "content": [{"type": "text", "text": untrusted(item["snippet"], MAX_CHARS).text}],
            "citations": {"enabled": True},
        }
        for item in cited
    ]
    rest = [{name: value for name, value in item.items() if name != "snippet"} for item in items or []]
    more = json.dumps({**structured, "items": rest}, ensure_ascii=False)
    return [*blocks, {"type": "text", "text": untrusted(more, MAX_CHARS).fenced}]


def _is_passage(item: Any) -> bool:
    return isinstance(item, dict) and bool(item.get("citation")) and bool(str(item.get("snippet") or "").strip())
