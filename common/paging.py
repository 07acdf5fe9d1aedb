"""Opaque cursors that fit one question only."""

import base64
import hashlib
import json
from typing import Any

from common.errors import InvalidInput


def _fingerprint(question: Any) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True, default=str).encode()).hexdigest()[:16]


def encode_cursor(position: Any, question: Any) -> str:
    """A cursor for `position` in the answers to `question`."""
    body = json.dumps([position, _fingerprint(question)], separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, question: Any, kind: type[Any]) -> Any:
    """The position; raises InvalidInput if the cursor is damaged or belongs to another question."""
    try:
        position, fingerprint = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError):
        position, fingerprint = None, ""
    if fingerprint != _fingerprint(question) or type(position) is not kind:
        raise InvalidInput("The cursor does not fit this call.", "Call without a cursor to start from the first page.")
    return position
