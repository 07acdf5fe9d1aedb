"""Names of files: which are taken, how they are shown, and which allowed folder a path belongs to."""

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from common.errors import Denied

HIDDEN = re.compile(r"^[.~]")
MAX_PATH = 1_000
"""Characters of a path below its folder."""
# Controls, format characters (among them those that turn the direction of writing), halves of surrogates (a name that
# is no UTF-8), separators of lines and paragraphs.
_REFUSED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts need them


def shown(name: str) -> str:
    """The last part of a file's name as it may stand in a message."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in base if c.isprintable())[-100:] or "the file"


def shown_path(path: str) -> str:
    """A path as it may stand in a message: what is not printable is written as an escape."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)
    return safe if len(safe) <= 200 else f"…{safe[-200:]}"


def unusable(path: str) -> str | None:
    """Why a path below a folder is not taken, whatever is there; None if it may be."""
    if len(path) > MAX_PATH:
        return f"has a path of more than {MAX_PATH} characters"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "has a path that leads elsewhere"
    if "\\" in path:
        return "has a backslash in its name, which other systems take for a folder: rename it"
    if any(unicodedata.category(c) in _REFUSED and c not in _JOINERS for c in path):
        return "has control characters, hidden characters or broken UTF-8 in its name: rename it"
    return None


def locate(path: str, roots: Sequence[Path]) -> tuple[Path, str]:
    """The allowed folder that a path belongs to, and the rest of the path. Raises Denied.

    This compares names and asks the disk only about the roots: what is there, `Folder` finds out. A path that does not
    exist and one that is outside give the same answer.
    """
    absolute = path if os.path.isabs(path) else f"{os.getcwd()}/{path}"
    parts = tuple(part for part in absolute.split("/") if part not in ("", "."))
    for root in roots:
        for form in (Path(os.path.abspath(root)), Path(os.path.realpath(root))):
            own = form.parts[1:]
            rest = "/".join(parts[len(own) :])
            if parts[: len(own)] == own and (not rest or unusable(rest) is None):
                return root, rest
    raise not_allowed(path)


def not_allowed(path: str) -> Denied:
    """The one answer for what is outside, not there, or not to be read."""
    hint = "Ask the operator which folders are allowed."
    return Denied(f"{shown_path(path[:200])!r} is not in a folder that may be read.", hint)
