"""Answers in the words of the client's era, where the domain speaks another one."""

import json
from typing import Any

from infra.gateway.forward import JSON
from infra.gateway.messages import encode

COMPLETE = {"resultType": "complete"}
INPUT_REQUIRED = b'"resultType":"input_required"'
CANNOT_BE_ASKED = (
    "This asks for a confirmation, which your client cannot give: nothing was done. Use one of 2026-07-28."
)


def _upgraded(body: bytes) -> bytes:
    """A result says of what kind it is since 2026-07-28. What is no result stays as it is."""
    try:
        message: Any = json.loads(body)
        return encode({**message, "result": {**COMPLETE, **message["result"]}})
    except (ValueError, KeyError, TypeError):
        return body


class Upgrade:
    """Makes an answer of before 2026-07-28 one of that era, as it streams by. Notifications are alike in both."""

    def __init__(self, content_type: str) -> None:
        self._is_json = content_type.startswith(JSON)
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on by now; an empty chunk is the end."""
        self._rest += chunk
        if self._is_json:
            return _upgraded(self._take(len(self._rest))) if not chunk else b""
        end = len(self._rest) if not chunk else self._rest.rfind(b"\n") + 1
        return b"".join(_line(line) for line in self._take(end).splitlines(keepends=True))

    def _take(self, count: int) -> bytes:
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


def _line(line: bytes) -> bytes:
    if not line.startswith(b"data:") or b'"result"' not in line:
        return line
    return b"data: " + _upgraded(line[5:].strip()) + b"\n"
