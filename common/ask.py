"""Lets a model of the Anthropic API answer with an MCP server's read-only tools."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastmcp import Client

from common.errors import InvalidInput, Unavailable

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"
MAX_ROUNDS = 10
MAX_TOKENS = 2000
TRIES = 4
TIMEOUT_SECONDS = 60.0
BUSY = frozenset({429, 500, 502, 503, 529})
Message = dict[str, Any]


@dataclass
class Answer:
    """What the model said at last, and which tools it used."""

    text: str = ""
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)


def model_api() -> httpx2.AsyncClient:
    """A client of the Messages API as ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL say. Raises InvalidInput."""
    key = os.environ.get("ANTHROPIC_API_KEY")
    if not key:
        raise InvalidInput("ANTHROPIC_API_KEY is not set.", "Make a key at console.anthropic.com, and set it.")
    base = os.environ.get("ANTHROPIC_BASE_URL") or BASE_URL
    headers = {"x-api-key": key, "anthropic-version": VERSION}
    return httpx2.AsyncClient(base_url=base.rstrip("/"), headers=headers, timeout=TIMEOUT_SECONDS)


async def ask(api: httpx2.AsyncClient, model: str, client: Client[Any], messages: list[Message]) -> Answer:
    """The model's answer to these messages. Raises Unavailable if the API does not answer, or the model never ends."""
    listed = [tool for tool in await client.list_tools() if tool.annotations and tool.annotations.read_only_hint]
    tools = [{"name": t.name, "description": t.description or "", "input_schema": t.input_schema} for t in listed]
    answer, messages = Answer(), list(messages)
    for _ in range(MAX_ROUNDS):
        body = {"model": model, "max_tokens": MAX_TOKENS, "tools": tools, "messages": messages}
        reply = await _post(api, body)
        uses = [block for block in reply["content"] if block["type"] == "tool_use"]
        if reply["stop_reason"] != "tool_use" or not uses:
            answer.text = "".join(block["text"] for block in reply["content"] if block["type"] == "text")
            return answer
        answer.calls += [(use["name"], use["input"]) for use in uses]
        allowed = {tool.name for tool in listed}
        results = await asyncio.gather(*(_use(client, use, allowed) for use in uses))
        messages += [{"role": "assistant", "content": reply["content"]}, {"role": "user", "content": list(results)}]
    raise Unavailable(f"The model did not come to an answer within {MAX_ROUNDS} rounds.")


async def _use(client: Client[Any], use: Mapping[str, Any], allowed: set[str]) -> Message:
    if use["name"] not in allowed:
        return {"type": "tool_result", "tool_use_id": use["id"], "is_error": True, "content": "There is no such tool."}
    result = await client.call_tool(use["name"], use["input"], raise_on_error=False)
    texts = [block.text for block in result.content if block.type == "text"]
    content = "\n".join(texts) or json.dumps(result.structured_content)
    return {"type": "tool_result", "tool_use_id": use["id"], "is_error": result.is_error, "content": content}


async def _post(api: httpx2.AsyncClient, body: Message) -> dict[str, Any]:
    for attempt in range(1, TRIES + 1):
        try:
            response = await api.post("/v1/messages", json=body)
        except httpx2.TransportError as error:
            if attempt == TRIES:
                raise Unavailable(f"{api.base_url} does not answer ({type(error).__name__}).") from None
            await asyncio.sleep(2.0**attempt)
            continue
        if response.is_success:
            reply: dict[str, Any] = response.json()
            return reply
        if response.status_code not in BUSY or attempt == TRIES:
            raise Unavailable(f"The model API answered {response.status_code}: {_reason(response)}")
        await asyncio.sleep(_wait(response, attempt))
    raise AssertionError("unreachable")


def _wait(response: httpx2.Response, attempt: int) -> float:
    given = response.headers.get("retry-after", "")
    return min(float(given), 60.0) if given.replace(".", "", 1).isdigit() else 2.0**attempt


def _reason(response: httpx2.Response) -> str:
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
