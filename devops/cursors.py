"""Cursors that this server signed: they fit one question of one caller only."""

import base64
import hashlib
import hmac
import json
from typing import Any

from common.errors import InvalidInput
from common.security.signing import Purpose


class Cursors:
    """Seals positions in lists; replicas share the keys."""

    def __init__(self, keys: Purpose) -> None:
        self._keys = keys

    def seal(self, position: Any, question: Any) -> str:
        """A cursor for `position` (JSON) in the answer to `question`."""
        body = json.dumps([position, _sign(self._keys.newest.secret, position, question)], separators=(",", ":"))
        return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")

    def open(self, cursor: str, question: Any) -> Any:
        """The position; raises InvalidInput for a cursor that was changed or belongs to another question."""
        try:
            position, signature = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            expected = [_sign(key.secret, position, question) for key in self._keys.accepted]
            genuine = any(hmac.compare_digest(signature, each) for each in expected)
        except (ValueError, TypeError):
            genuine = False
        if not genuine:
            raise InvalidInput(
                "The cursor does not fit this call.", "Call without a cursor to start from the first page."
            )
        return position


def _sign(key: bytes, position: Any, question: Any) -> str:
    text = json.dumps([position, question], sort_keys=True, default=str)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]
