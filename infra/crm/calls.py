"""A request and its answer as the simulated platforms see them, independent of the HTTP library, and their routing."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `parts` are the named pieces of the path that the route took out."""

    method: str
    path: str
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    search_delay: float = 0.0
    """What was made within these last seconds is not yet found by a search."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; `body` becomes JSON, None an empty body, bytes are sent as they are."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        """The body as it goes over the wire."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body or b""
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


class Refused(Exception):
    """A platform's error answer."""

    def __init__(self, body: Any, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.answer = Answer(body, status, headers or {})


Handler = Callable[[Call], Answer]


class Routes:
    """Paths such as `/api/v2/tickets/{id}`, tried in their order."""

    def __init__(self, *routes: tuple[str, str, Handler]) -> None:
        self._routes = [
            (method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + r"\Z"), handler)
            for method, path, handler in routes
        ]

    def handle(self, call: Call, path: str) -> Answer | None:
        """The answer of the first route that fits; None if there is no such path; a 405 if the method is wrong."""
        known = False
        for method, pattern, handler in self._routes:
            if match := pattern.match(path):
                known = True
                if method == call.method:
                    return handler(replace(call, parts={**call.parts, **match.groupdict()}))
        return Answer({"message": "Method Not Allowed"}, 405) if known else None


def json_object(call: Call) -> dict[str, Any] | None:
    """The body if it is a JSON object, else None."""
    try:
        read = json.loads(call.body or b"{}")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def objects_in(value: Any) -> list[dict[str, Any]] | None:
    """A list of JSON objects; none at all if there is no value; None for anything else."""
    if value is None:
        return []
    return value if isinstance(value, list) and all(isinstance(entry, dict) for entry in value) else None


def texts_in(value: Any) -> list[str]:
    """The texts of a list; what is none is left out."""
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
