"""What was changed through this server, for those who may list changes."""

from collections.abc import Sequence

from common.security.policy import ToolPolicy
from common.security.principal import Principal
from devops.alerts import RecentChange
from devops.changes.service import Changes
from devops.changes.states import State

DONE: tuple[State, ...] = ("executing", "succeeded", "failed", "unknown")
"""States in which the cluster may have been touched."""
MOST = 100


class ChangedHere:
    """Implements Changed over the changes' own store."""

    def __init__(self, changes: Changes, policy: ToolPolicy) -> None:
        self._changes = changes
        self._policy = policy

    async def lately(self, who: Principal, cluster: str, namespace: str) -> Sequence[RecentChange]:
        """See Changed."""
        if not self._policy.allows(who, "list_changes"):
            return []
        page, _ = await self._changes.page(who, DONE, MOST)
        return [
            RecentChange(
                change.updated_at,
                at.kind,
                at.name,
                change.draft.plan.summary,
                change.id,
                change.draft.requester.subject,
            )
            for change in page
            if (at := change.draft.target).cluster == cluster and at.namespace == namespace
        ]
