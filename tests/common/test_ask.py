"""A model that answers with tools: the real loop and MCP server, a fake of the Messages API on a loopback port."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common.ask import ask, model_api
from common.errors import InvalidInput, Unavailable
from tests.support.apps import Small, small_server

QUESTION = [{"role": "user", "content": "Say tea."}]


@dataclass
class FakeApi:
    """Answers with what is queued, and keeps what it was sent."""

    replies: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def says(self, *content: dict[str, Any], stop: str = "end_turn") -> None:
        self.replies.append((200, {"content": list(content), "stop_reason": stop}))


def tool_use(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"use-{name}", "name": name, "input": arguments}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    api = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/messages"
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            api.requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            status, reply = api.replies.pop(0)
            body = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    yield api
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Small]:
    async with small_server(tmp_path) as server:
        yield server


async def test_the_model_uses_tools_until_it_answers(fake: FakeApi, small: Small) -> None:
    fake.says({"type": "text", "text": "Let me see."}, tool_use("echo", text="tea"), stop="tool_use")
    fake.says({"type": "text", "text": "It says tea."})
    async with model_api() as api, small.client(small.token()) as client:
        answer = await ask(api, "model-1", client, QUESTION)
    assert (answer.text, answer.calls) == ("It says tea.", [("echo", {"text": "tea"})])
    first, second = fake.requests
    assert first["model"] == "model-1" and first["messages"] == QUESTION
    assert next(tool for tool in first["tools"] if tool["name"] == "echo")["input_schema"]["required"] == ["text"]
    [result] = second["messages"][-1]["content"]
    assert (result["tool_use_id"], result["content"], result["is_error"]) == ("use-echo", "tea", False)
    assert fake.headers[0]["x-api-key"] == "sk-test" and fake.headers[0]["anthropic-version"]


async def test_a_tool_that_changes_something_is_neither_offered_nor_called(fake: FakeApi, small: Small) -> None:
    fake.says(tool_use("change", name="x"), tool_use("fail", how="conflict"), stop="tool_use")
    fake.says({"type": "text", "text": "No."})
    async with (
        model_api() as api,
        small.client(small.token(roles=("user", "editor"), clearance="restricted")) as client,
    ):
        assert "change" in {tool.name for tool in await client.list_tools()}
        await ask(api, "model-1", client, QUESTION)
    assert "change" not in {tool["name"] for tool in fake.requests[0]["tools"]} and small.changed == []
    refused, failed = fake.requests[1]["messages"][-1]["content"]
    assert refused["is_error"] and "no such tool" in refused["content"]
    assert failed["is_error"] and "Somebody was faster" in failed["content"]


async def test_a_busy_api_is_asked_again_and_a_refusal_is_told(fake: FakeApi, small: Small) -> None:
    fake.replies.append((529, {"error": {"message": "overloaded"}}))
    fake.says({"type": "text", "text": "Tea."})
    async with model_api() as api, small.client(small.token()) as client:
        assert (await ask(api, "model-1", client, QUESTION)).text == "Tea."
        fake.replies.append((404, {"error": {"message": "model: model-2"}}))
        with pytest.raises(Unavailable, match="404: model: model-2"):
            await ask(api, "model-2", client, QUESTION)


async def test_a_model_that_never_ends_is_ended(fake: FakeApi, small: Small) -> None:
    for _ in range(10):
        fake.says(tool_use("echo", text="tea"), stop="tool_use")
    async with model_api() as api, small.client(small.token()) as client:
        with pytest.raises(Unavailable, match="within 10 rounds"):
            await ask(api, "model-1", client, QUESTION)


def test_without_a_key_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(InvalidInput, match="ANTHROPIC_API_KEY is not set"):
        model_api()
