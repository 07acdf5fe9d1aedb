"""Digests over canonical JSON: who says yes names one, and nothing else is executed."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from devops.changes.change import Change, Draft


def canonical(value: Any) -> bytes:
    """JSON with one way to write each value: sorted keys, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of(value: Any) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def draft_digest(draft: Draft) -> str:
    """Over target, uid, arguments, live resourceVersion, what the dry run showed, and what policy demands."""
    seen = asdict(draft)
    del seen["digest"]
    seen["requester"] = {"subject": draft.requester.subject, "tenant": draft.requester.tenant}
    return digest_of(seen)


def is_intact(change: Change) -> bool:
    """Whether the stored change is still the one that was planned."""
    return draft_digest(change.draft) == change.draft.digest
