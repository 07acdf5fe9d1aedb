"""Names as Kubernetes allows them. Nothing that is not such a name gets near a cluster."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator

from common.errors import InvalidInput, NotFound

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
NAMESPACE_PATTERN = rf"^{LABEL}$"
"""RFC 1123 label: no leading dash, no dots, no slashes."""
NAME_PATTERN = rf"^{LABEL}(\.{LABEL})*$"
_LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?)?")
MAX_LABELS = 10


def matches(pattern: str, name: str) -> bool:
    """The whole of it: `$` alone would let a line break pass."""
    return re.fullmatch(pattern, name) is not None


def checked(pattern: str, what: str) -> AfterValidator:
    """Not a `pattern` of the schema: models gain nothing from reading it with every tool."""

    def check(name: str) -> str:
        if not matches(pattern, name):
            raise ValueError(f"it is no {what}")
        return name

    return AfterValidator(check)


NamespaceName = Annotated[str, checked(NAMESPACE_PATTERN, "namespace")]
ObjectName = Annotated[str, checked(NAME_PATTERN, "name of Kubernetes")]


def check_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """The same labels; raises InvalidInput for what is no Kubernetes label."""
    if len(labels) > MAX_LABELS:
        raise InvalidInput(f"At most {MAX_LABELS} labels can be asked for.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise InvalidInput(
                "labels: a key or value is not a Kubernetes label.", 'Give them as {"app": "web-portal"}.'
            )
    return labels


def not_found(what: str, name: str, known: Iterable[str], where: str = "") -> NotFound:
    """An error that names the nearest things that are there; `known` is what the caller may see."""
    candidates = sorted(known)
    near = difflib.get_close_matches(name, candidates, n=3, cutoff=0.5)
    near = near or [candidate for candidate in candidates if name in candidate or candidate in name][:3]
    there = f"There is: {', '.join(candidates[:10])}." if candidates else "You may see none."
    hint = f"Did you mean {' or '.join(near)}?" if near else there
    return NotFound(f"There is no {what} {name}{where} that you may see.", hint)
