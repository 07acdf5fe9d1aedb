"""What an approver reads of an object: all of it but secrets, and those as marks that tell one from another."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from common.security.redaction import names_secret, without_secrets

MAX_VALUE = 10_000
MAX_SHOWN = 100_000
"""Characters of all values together: looking for secrets takes time."""
CUT = "(cut here)"
_REFERENCES = frozenset({"secretName"})
"""Fields that sound like a secret and hold the name of one, which an approver must see."""


class Shown:
    """Shows the objects of one comparison. Mail addresses, phone and card numbers stay.

    Elsewhere they are personal data. Here they are what a workload will do, such as whom a `mail.sh` writes to, and a
    host behind an `@` would be hidden with them: who says yes must see it.
    """

    def __init__(self) -> None:
        # It is thrown away, so a mark is worth nothing outside of this comparison.
        self._salt = secrets.token_bytes(16)

    def object(self, manifest: Any) -> Any:
        """A copy that may be shown. Texts come as lists of lines."""
        self._left = MAX_SHOWN
        return self._value("", manifest)

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {each: self._value(_name(value, each), value[each]) for each in sorted(value)}
        if isinstance(value, list):
            return self._items(key, value)
        return self._text(key, value) if isinstance(value, str) else value

    def _items(self, key: str, items: Sequence[Any]) -> list[Any]:
        before = (None, *items)
        return [
            self._mark(str(item)) if names_secret(last) else self._value(key, item)
            for last, item in zip(before, items, strict=False)
        ]

    def _text(self, key: str, text: str) -> Any:
        limit = max(0, min(MAX_VALUE, self._left))
        self._left -= len(text)
        shown = without_secrets("" if key in _REFERENCES else key, text, limit, self._mark)
        if shown.endswith(f"… [{len(text)} characters]"):
            shown = f"{shown} {CUT} {self._mark(text)}"
        return {"lines": shown.split("\n")} if "\n" in shown else shown

    def _mark(self, text: str) -> str:
        return f"[redacted {hashlib.sha256(self._salt + text.encode(errors='surrogatepass')).hexdigest()[:6]}]"


def is_whole(diff: str) -> bool:
    """Whether nothing that changes was cut off."""
    lines = diff.splitlines()
    return not any(CUT in line for line in lines if line.startswith(("+", "-")) or line is lines[-1])


def _name(mapping: dict[str, Any], key: str) -> str:
    """What says what a value is. Of an environment variable that is its name."""
    name = mapping.get("name")
    return name if key == "value" and isinstance(name, str) else key
