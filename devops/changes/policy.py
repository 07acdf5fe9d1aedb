"""What a change needs, decided by Cedar policy: deny, confirm, approve by n others, or allow. Default: deny."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cedarpy

from common.errors import Denied, SettingsError
from common.security.policy import CALLER, caller_entity
from common.security.principal import Principal
from devops.changes.change import RISKS, Decision, Draft, Requirement, Risk, Target

CHANGE = {"type": "Change", "id": "change"}
APPROVER = "change:approver"
BREAKS_GLASS = "change:break-glass"
SECOND = "change:break-glass-second"
HALT = "change:halt"
LADDER: tuple[tuple[str, Decision, int], ...] = (
    ("change:allow", "allow", 0),
    ("change:confirm", "confirm", 0),
    ("change:approve-1", "approve", 1),
    ("change:approve-2", "approve", 2),
)
"""The first of these that policy permits is what a change needs."""
DESTRUCTIVE = frozenset({"delete_resource", "drain_node"})


class ChangePolicy:
    """Decides about changes by who asks, tool, kind, namespace, environment and risk."""

    def __init__(self, file: Path) -> None:
        try:
            text = file.read_text()
            self._policies = cedarpy.PolicySet.from_str(text)
        except (OSError, ValueError) as error:
            raise SettingsError(f"DEVOPS_CHANGE_POLICY cannot be used ({file}): {error}") from None
        self.version = hashlib.sha256(text.encode()).hexdigest()[:12]

    def requirement(self, requester: Principal, tool: str, at: Target, environment: str, risk: Risk) -> Requirement:
        """What it needs. Raises Denied."""
        resource = _resource(tool, at, environment, risk, requester.subject)
        for action, decision, approvals in LADDER:
            if self._permits(requester, action, resource):
                return Requirement(decision, approvals, self.version)
        reason = f"Policy does not let you do this: {tool} on {at} ({environment}, risk {risk})."
        raise Denied(reason, "Ask somebody with the role for it, or an administrator.")

    def may_approve(self, approver: Principal, requester: str, tool: str, at: Target, env: str, risk: Risk) -> bool:
        """Whether this person's yes counts."""
        return self._permits(approver, APPROVER, _resource(tool, at, env, risk, requester))

    def permits(self, who: Principal, action: str, draft: Draft) -> bool:
        """Whether this person may do this to a planned change of the own tenant."""
        resource = _resource(draft.tool, draft.target, draft.environment, draft.risk, draft.requester.subject)
        return who.tenant == draft.requester.tenant and self._permits(who, action, resource)

    def may_ask_for_break_glass(self, who: Principal, tool: str, at: Target, env: str, risk: Risk) -> bool:
        """Whether this person may plan what a freeze or a window forbids."""
        return self._permits(who, BREAKS_GLASS, _resource(tool, at, env, risk, who.subject))

    def _permits(self, principal: Principal, action: str, resource: dict[str, Any]) -> bool:
        request = {
            "principal": CALLER,
            "action": {"type": "Action", "id": action},
            "resource": CHANGE,
            "context": {},
        }
        entities = json.dumps([caller_entity(principal), {"uid": CHANGE, "attrs": resource, "parents": []}])
        return cedarpy.is_authorized(request, self._policies, entities).allowed


def is_stricter(one: Requirement, other: Requirement) -> bool:
    """Whether more is demanded by the first one."""
    ladder = [(decision, approvals) for _, decision, approvals in LADDER]
    return ladder.index((one.decision, one.approvals)) > ladder.index((other.decision, other.approvals))


def _resource(tool: str, at: Target, environment: str, risk: Risk, requester: str) -> dict[str, Any]:
    return {
        "tool": tool,
        "cluster": at.cluster,
        "kind": at.kind,
        "namespace": at.namespace or "",
        "environment": environment,
        "risk": RISKS.index(risk),
        "destructive": tool in DESTRUCTIVE,
        "requester": requester,
    }
