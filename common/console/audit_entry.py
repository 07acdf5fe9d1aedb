"""One line of the audit page."""

import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import RowMapping

MAX_SUMMARY = 200
GOOD = frozenset({"ok", "intact", "input_required", "succeeded"})
REFUSED = frozenset({"", "denied", "unknown", "rate_limited", "invalid_input", "not_found", "conflict"})


@dataclass(frozen=True)
class Entry:
    """One line: what was asked, by whom, and what came of it."""

    at: str
    subject: str
    tenant: str
    action: str
    request_id: str
    outcome: str
    ms: float | None
    summary: str
    detail: str
    records: str
    """Where in the chains it stands."""

    @property
    def tone(self) -> str:
        """How the outcome is to be shown."""
        return tone_of(self.outcome)


def tone_of(outcome: str) -> str:
    """Good, to be noticed, or bad."""
    if outcome in GOOD:
        return "good"
    return "warn" if outcome in REFUSED else "bad"


def entry_of(record: RowMapping, intent: RowMapping | None = None) -> Entry:
    """The line for an event, an outcome with its intent, or an intent alone."""
    result, first = _body(record), intent or record
    detail = _detail(first)
    ms = result.get("ms") if record["kind"] == "outcome" and isinstance(result, dict) else None
    entry = Entry(
        at=record["at"],
        subject=first["subject"],
        tenant=first["tenant"],
        action=first["action"],
        request_id=first["request_id"],
        outcome="" if record["kind"] == "intent" else record["outcome"] or "ok",
        ms=ms if isinstance(ms, int | float) else None,
        summary=_summary(detail),
        detail=_pretty(detail),
        records=f"{record['writer']} #{record['seq']}",
    )
    if intent is None:
        return entry
    return replace(entry, records=f"{record['writer']} #{intent['seq']}, #{record['seq']}")


def _body(record: RowMapping) -> Any:
    # A damaged record is shown as it is.
    try:
        return json.loads(record["body"])
    except (ValueError, TypeError, RecursionError):
        return str(record["body"])


def _detail(record: RowMapping) -> Any:
    body = _body(record)
    return body["arguments"] if isinstance(body, dict) and set(body) == {"arguments"} else body


def _pretty(detail: Any) -> str:
    if isinstance(detail, str):
        return detail
    return json.dumps(detail, indent=2, ensure_ascii=False) if detail else ""


def _summary(detail: Any) -> str:
    if not isinstance(detail, dict):
        return str(detail or "")[:MAX_SUMMARY]
    # Text first: a query says more than a limit.
    items = sorted(detail.items(), key=lambda item: not isinstance(item[1], str))
    parts = (f"{name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in items)
    return ", ".join(parts)[:MAX_SUMMARY]
