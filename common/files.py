"""Paths that a caller names, held inside allowed folders."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import Denied


def resolve_inside(path: str, roots: Sequence[Path]) -> Path:
    """The real path, if it is inside one of the roots after all links are followed. Raises Denied.

    A path that does not exist and one that is outside give the same answer.
    """
    refusal = Denied(
        f"{path[:200]!r} is not in a folder that may be read.", "Ask the operator which folders are allowed."
    )
    if "\x00" in path:
        raise refusal
    try:
        real = Path(path).resolve(strict=True)
    except (OSError, RuntimeError):
        raise refusal from None
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise refusal
    return real
