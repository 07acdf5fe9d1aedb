"""What is told: names and states, never a manifest, a diff, a cluster's message or a secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args

from common.security.redaction import redact
from common.security.untrusted import untrusted
from devops.changes.change import Change, HandFreeze, Switch
from devops.changes.rollouts import RolloutState
from devops.changes.states import State

Kind = Literal[
    "change.waiting",
    "change.approved",
    "change.executed",
    "change.failed",
    "break_glass.asked",
    "break_glass.opened",
    "rollout.stuck",
    "rollout.halted",
    "freeze.set",
    "freeze.lifted",
    "switch.off",
    "switch.on",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
OF_STATES: Mapping[State, Kind] = {
    "awaiting_confirmation": "change.waiting",
    "awaiting_approval": "change.waiting",
    "approved": "change.approved",
    "succeeded": "change.executed",
    "failed": "change.failed",
    "unknown": "change.failed",
    "drifted": "change.failed",
}
OF_ROLLOUTS: Mapping[RolloutState, Kind] = {"stuck": "rollout.stuck", "halted": "rollout.halted"}
TITLES: Mapping[Kind, str] = {
    "change.waiting": "waits for a yes",
    "change.approved": "was approved",
    "change.executed": "was executed",
    "change.failed": "did not succeed",
    "break_glass.asked": "BREAK-GLASS is asked for",
    "break_glass.opened": "BREAK-GLASS is open",
    "rollout.stuck": "its rollout stands still",
    "rollout.halted": "its rollout was halted",
    "freeze.set": "A freeze was set",
    "freeze.lifted": "A freeze was lifted",
    "switch.off": "All changes are switched OFF",
    "switch.on": "Changes are switched on again",
}
MAX_TEXT = 500


@dataclass(frozen=True)
class Notice:
    """One message to one channel. A second delivery of it has the same id."""

    id: str
    channel: str
    kind: Kind
    at: float
    facts: Mapping[str, str]
    tries: int = 0

    @property
    def title(self) -> str:
        """One line."""
        summary, what = self.facts.get("summary"), TITLES[self.kind]
        return f"{summary}: {what}" if summary else f"{what} by {self.facts.get('by', 'somebody')}"

    def as_json(self) -> dict[str, Any]:
        """The body of a webhook."""
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        return {"id": self.id, "kind": self.kind, "at": at, "title": self.title, **self.facts}


def kind_of(change: Change, to: State, detail: Mapping[str, Any]) -> Kind | None:
    """What a step of a change is worth telling; None: nothing."""
    if "break_glass" in detail:
        return "break_glass.asked" if detail.get("asked") else "break_glass.opened"
    return OF_STATES.get(to) if to != change.state else None


def facts_of(change: Change, to: State, by: str, detail: Mapping[str, Any], base_url: str) -> dict[str, str]:
    """Of a step of a change."""
    draft = change.draft
    facts = {
        "change_id": change.id,
        "state": to,
        "summary": draft.plan.summary,
        "risk": draft.risk,
        "environment": draft.environment,
        "cluster": draft.target.cluster,
        "target": str(draft.target),
        "requester": draft.requester.subject,
        "by": by,
        "tenant": draft.requester.tenant,
        "url": f"{base_url}/console/changes/{change.id}",
    }
    if isinstance(detail.get("reason"), str):
        facts["reason"] = detail["reason"]
    return cleaned(facts)


def facts_of_switch(switch: Switch, base_url: str) -> dict[str, str]:
    """Of the kill switch."""
    return cleaned({"by": switch.by, "reason": switch.reason, "url": f"{base_url}/console/changes"})


def facts_of_freeze(freeze: HandFreeze, lifted_by: str, base_url: str) -> dict[str, str]:
    """Of a freeze of the console."""
    until = datetime.fromtimestamp(freeze.end, UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts = {"by": lifted_by or freeze.by, "reason": freeze.reason, "environment": freeze.environment, "until": until}
    return cleaned({**facts, "url": f"{base_url}/console/changes"})


def cleaned(facts: Mapping[str, str]) -> dict[str, str]:
    """People wrote some of it: one line each, short, without secrets and control characters."""
    shown = cast(dict[str, str], redact({name: " ".join(value.split()) for name, value in facts.items()}, MAX_TEXT))
    return {name: untrusted(value, MAX_TEXT).text for name, value in shown.items()}
