"""Opaque cursors, and pages of lists that are sorted by a key."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def encode_cursor(*values: Any) -> str:
    """A cursor that says nothing to whoever holds it."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> list[Any]:
    """What `encode_cursor` was given. Raises ValueError for anything else."""
    try:
        read = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not a cursor") from error
    if not isinstance(read, list):
        raise ValueError("not a cursor")
    return read


def page_after(items: Sequence[T], key: Callable[[T], Any], after: Any, size: int) -> tuple[list[T], bool]:
    """Up to `size` items whose key is beyond `after` (None: from the start), and whether more follow."""
    rest = [item for item in items if after is None or key(item) > after]
    return rest[:size], len(rest) > size
