"""A stand-in for the Messages API, for these tests: it plays scripted turns as server-sent events, and asks no model.

It checks what the real one refuses, too: each `tool_use` has to be answered by its `tool_result` in the next message,
at most four cache marks, names and schemas of tools. What begins like an earlier request up to a mark is counted as
read from the cache.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-ant-test"


@dataclass(frozen=True)
class Turn:
    """What one request gets. `breaks`: an error event after the content, as when the API is overloaded meanwhile."""

    content: tuple[dict[str, Any], ...] = ()
    status: int = 200
    error: tuple[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


def text(value: str, *sources: tuple[str, str]) -> dict[str, Any]:
    """A text block, with the passages that it cites: (source, title)."""
    cited = [
        {
            "type": "search_result_location",
            "cited_text": "...",
            "source": source,
            "title": title,
            "search_result_index": number,
            "start_block_index": 0,
            "end_block_index": 1,
        }
        for number, (source, title) in enumerate(sources)
    ]
    return {"type": "text", "text": value, **({"citations": cited} if cited else {})}


def tool_use(name: str, /, **arguments: Any) -> dict[str, Any]:
    """A call."""
    return {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": arguments}


@dataclass
class MessagesApi:
    """The script, and what was asked."""

    url: str = ""
    turns: list[Turn] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    began: threading.Event = field(default_factory=threading.Event)
    ends: threading.Event = field(default_factory=threading.Event)

    def says(self, *content: dict[str, Any]) -> None:
        """The next turn is an answer, or calls of tools."""
        self.turns.append(Turn(content))

    def fails(self, status: int, kind: str, message: str = "no", **headers: str) -> None:
        """The next turn is a refusal."""
        self.turns.append(Turn(status=status, error=(kind, message), headers={"retry-after": "0", **headers}))

    def breaks_off(self, said: str, kind: str = "overloaded_error") -> None:
        """The next turn begins well and ends with an error."""
        self.turns.append(Turn((text(said),), error=(kind, "Overloaded")))

    def hangs(self, said: str) -> None:
        """The next turn begins and never ends."""
        self.turns.append(Turn((text(said),), hang=True))

    def problem(self, body: dict[str, Any]) -> str | None:
        """What the real API would refuse."""
        pending: set[str] = set()
        for message in body["messages"]:
            blocks = message["content"] if isinstance(message["content"], list) else []
            results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            if pending - results or results - pending:
                return "tool_use ids were found without tool_result blocks immediately after"
            pending = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if json.dumps(body).count('"cache_control"') > 4:
            return "A maximum of 4 blocks with cache_control may be provided"
        for tool in body.get("tools", []):
            if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["name"]) or tool["input_schema"].get("type") != "object":
                return f"tools: {tool['name']} is no tool"
        return None

    def usage(self, body: dict[str, Any]) -> dict[str, int]:
        """A token for each four characters; what stands before a mark that was seen before is read from the cache."""
        prefix = json.dumps([body.get("tools"), body.get("system")], sort_keys=True)
        whole = len(json.dumps(body)) // 4
        marked = len(prefix) // 4 if "cache_control" in prefix else 0
        known = prefix in self.seen
        self.seen.add(prefix)
        return {
            "input_tokens": whole - marked,
            "cache_read_input_tokens": marked if known else 0,
            "cache_creation_input_tokens": 0 if known else marked,
            "output_tokens": 1,
        }


def events(turn: Turn, usage: dict[str, int], model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a turn, as the API sends them."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "usage": usage}
    yield "message_start", {"message": {**message, "stop_reason": None, "stop_sequence": None}}
    for index, block in enumerate(turn.content):
        yield from _block(index, block)
    if turn.error:
        yield "error", {"error": {"type": turn.error[0], "message": turn.error[1]}}
        return
    stop = "tool_use" if any(block["type"] == "tool_use" for block in turn.content) else "end_turn"
    yield "message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 20}}
    yield "message_stop", {}


def _block(index: int, block: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if block["type"] == "tool_use":
        yield "content_block_start", {"index": index, "content_block": {**block, "input": {}}}
        whole = json.dumps(block["input"])
        for part in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
            yield "content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": part}}
    else:
        yield "content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}}
        for part in re.findall(r"\S+\s*|\s+", block["text"]):
            yield "content_block_delta", {"index": index, "delta": {"type": "text_delta", "text": part}}
        for citation in block.get("citations", []):
            yield "content_block_delta", {"index": index, "delta": {"type": "citations_delta", "citation": citation}}
    yield "content_block_stop", {"index": index}


@contextmanager
def serving() -> Iterator[MessagesApi]:
    """The stand-in, on a free port of this machine."""
    api = MessagesApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.requests.append(body)
            # The SDK sends the key as a bearer token; other clients as x-api-key.
            if KEY not in (
                self.headers.get("x-api-key"),
                self.headers.get("Authorization", "").removeprefix("Bearer "),
            ):
                return self._refuse(401, ("authentication_error", "invalid x-api-key"), {})
            if found := api.problem(body):
                return self._refuse(400, ("invalid_request_error", found), {})
            if not api.turns:
                return self._refuse(400, ("invalid_request_error", "the script has ended"), {})
            turn = api.turns.pop(0)
            if turn.status != 200:
                assert turn.error
                return self._refuse(turn.status, turn.error, turn.headers)
            return self._stream(turn, body)

        def _stream(self, turn: Turn, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for name, data in events(turn, api.usage(body), body["model"]):
                if turn.hang and name == "message_delta":
                    api.began.set()
                    api.ends.wait(30)
                    return
                self.wfile.write(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode())
                self.wfile.flush()

        def _refuse(self, status: int, error: tuple[str, str], headers: dict[str, str]) -> None:
            content = json.dumps({"type": "error", "error": {"type": error[0], "message": error[1]}}).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        api.ends.set()
        server.shutdown()
        thread.join()
        server.server_close()
