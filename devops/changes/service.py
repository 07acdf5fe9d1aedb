"""Changes as callers use them: what somebody may not see does not exist here either."""

import asyncio
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import Conflict, Denied, InvalidInput, NotFound
from common.security.principal import Principal
from devops.access import Clusters
from devops.changes.applying import checked_manifest
from devops.changes.approval import Approvals
from devops.changes.change import Change, Entry, Glass, HandFreeze, Switch, Target
from devops.changes.clock import SteadyClock
from devops.changes.glass import BreakGlass
from devops.changes.operations import Apply, Operation, Rollback, SetImage, previous_revision
from devops.changes.planning import Planner, require_target
from devops.changes.ports import ChangeStore, ChangeTarget, RolloutStore
from devops.changes.rollouts import OFFERS_ROLLBACK
from devops.changes.runner import Runner
from devops.changes.states import FINAL, State
from devops.cloud.accounts import Accounts
from devops.kinds import DEPLOYMENT, REPLICA_SET, Kind
from devops.ports import Manifest

SETTLE_SECONDS = 5.0
POLL_SECONDS = 0.05
_PORT = re.compile(r":\d+/")
LONGEST_FREEZE = 90 * 86_400.0


@dataclass(frozen=True)
class Changes:
    """Everything that can be done with changes."""

    clusters: Clusters
    targets: dict[str, ChangeTarget]
    store: ChangeStore
    planner: Planner
    approvals: Approvals
    glass: BreakGlass
    runner: Runner
    rollouts: RolloutStore
    clock: SteadyClock
    images: Sequence[str] = ()
    """Prefixes of images that may be set; none means any."""
    accounts: Accounts | None = None
    """Of the cloud; none: nothing there is changed."""

    async def request(
        self, who: Principal, cluster: str | None, kind: Kind, namespace: str | None, name: str, operation: Operation
    ) -> Change:
        """Plan a change. Raises NotFound, Denied, Conflict, InvalidInput, RateLimited."""
        seen = self.clusters.named(cluster)
        if kind.namespaced:
            await self.clusters.check_namespace(seen, who, namespace or "")
        else:
            await self.clusters.check_cluster(seen, who)
        at = Target(seen.name, kind.name, namespace if kind.namespaced else None, name)
        target = require_target(self.targets, seen.name)
        if isinstance(operation, SetImage):
            self._check_image(operation.image)
        change = await self.planner.plan(who, target, at, operation)
        return await self._taken_up(change)

    async def request_cloud(
        self, who: Principal, account: str | None, kind: Kind, ecs_cluster: str | None, name: str, operation: Operation
    ) -> Change:
        """Plan a change of a cloud account, in the region that the settings give it. Raises as `request`."""
        if self.accounts is None:
            raise NotFound("There is no cloud account here.", "Ask the operator: DEVOPS_AWS.")
        seen = self.accounts.named(who, account)
        at = Target(seen.name, kind.name, ecs_cluster or seen.region, name)
        return await self._taken_up(
            await self.planner.plan(who, require_target(self.targets, at.cluster), at, operation)
        )

    async def apply(self, who: Principal, cluster: str | None, manifest: Manifest) -> Change:
        """Plan a server-side apply of a manifest that names its kind, namespace and name."""
        kind, manifest = checked_manifest(manifest)
        metadata = manifest["metadata"]
        if not isinstance(metadata.get("namespace"), str):
            raise NotFound("The manifest has no metadata.namespace.", "Name the namespace that it belongs to.")
        operation = Apply(manifest=manifest)
        return await self.request(who, cluster, kind, metadata["namespace"], metadata["name"], operation)

    async def rollback(
        self, who: Principal, cluster: str | None, namespace: str, name: str, revision: int | None
    ) -> Change:
        """Plan the way back to a revision, or to the one before."""
        if revision is None:
            seen = self.clusters.named(cluster)
            live = await self.clusters.get(seen, who, DEPLOYMENT, namespace, name)
            target = require_target(self.targets, seen.name)
            labels = (live["spec"].get("selector") or {}).get("matchLabels") or {}
            sets = await target.related(REPLICA_SET, namespace, labels=labels)
            revision = previous_revision(live, list(sets))
        return await self.request(who, cluster, DEPLOYMENT, namespace, name, Rollback(revision=revision))

    async def confirm(self, who: Principal, change_id: str, digest: str, yes: bool) -> Change:
        """The requester's second word."""
        change = await self.approvals.confirm(await self.get(who, change_id), digest, who, yes)
        return await self._taken_up(change)

    async def approve(self, who: Principal, change_id: str, digest: str, signed_in_at: float | None) -> Change:
        """Another person's yes."""
        change = await self.approvals.approve(await self.get(who, change_id), digest, who, signed_in_at)
        return await self._taken_up(change)

    async def ask_to_break_glass(
        self, who: Principal, change_id: str, digest: str, reason: str, signed_in_at: float
    ) -> Change:
        """The requester asks for what the usual way does not allow now."""
        return await self.glass.ask(await self.get(who, change_id), digest, reason, who, signed_in_at)

    async def break_glass(
        self, who: Principal, change_id: str, glass_id: str, digest: str, reason: str, signed_in_at: float
    ) -> Change:
        """The second person agrees, and it is executed."""
        change = await self.get(who, change_id)
        change = await self.glass.agree(change, glass_id, digest, reason, who, signed_in_at)
        return await self._taken_up(change)

    async def glasses(
        self, who: Principal, limit: int, older: tuple[float, str] | None = None, only_open: bool = False
    ) -> tuple[list[tuple[Change, Glass]], tuple[float, str] | None]:
        """Every use of break-glass that this person may see, newest first, and where the next page begins."""
        open_at = self.clock.now() if only_open else None
        found = await self.store.glasses(who.tenant, limit + 1, older, open_at)
        page = [(change, glass) for change, glass in found[:limit] if self._is_visible(who, change)]
        last = found[limit - 1][1] if len(found) > limit else None
        return page, (last.asked_at, last.id) if last else None

    async def reject(self, who: Principal, change_id: str, reason: str) -> Change:
        """An approver's no."""
        return await self.approvals.reject(await self.get(who, change_id), reason, who)

    async def cancel(self, who: Principal, change_id: str) -> Change:
        """The requester takes it back."""
        return await self.approvals.cancel(await self.get(who, change_id), who)

    async def get(self, who: Principal, change_id: str) -> Change:
        """Raises NotFound, alike for what is not there and what the caller may not see."""
        change = await self.store.get(change_id, who.tenant)
        if not self._is_visible(who, change):
            raise NotFound("There is no such change.", "list_changes shows those that you may see.")
        return change

    async def journal(self, change: Change) -> Sequence[Entry]:
        """Every step that was taken."""
        return await self.store.journal(change.id)

    async def page(
        self, who: Principal, states: Sequence[State], limit: int, older: tuple[float, str] | None = None
    ) -> tuple[list[Change], tuple[float, str] | None]:
        """Newest first, and where the next page begins."""
        found = await self.store.page(who.tenant, states, limit + 1, older)
        page = found[:limit]
        last = page[-1] if len(found) > limit else None
        visible = [change for change in page if self._is_visible(who, change)]
        return visible, (last.draft.created_at, last.id) if last else None

    async def way_back(self, who: Principal, change_id: str) -> Change:
        """Plan the rollback that a rollout offers which stands still; it needs its own yes. Raises Conflict."""
        change = await self.get(who, change_id)
        rollout = await self.rollouts.of(change.id)
        if rollout is None or rollout.state not in OFFERS_ROLLBACK:
            raise Conflict("Its rollout does not stand still.", "rollback_workload goes back in any case.")
        at = change.draft.target
        return await self.rollback(who, at.cluster, at.namespace or "", at.name, None)

    async def live(self, change: Change) -> Manifest | None:
        """The object as it is now, for those who may see the change."""
        at = change.draft.target
        return await require_target(self.targets, at.cluster).read(at.api, at.namespace, at.name)

    def is_simulated(self, change: Change) -> bool:
        """Whether nothing of its cluster is real."""
        target = self.targets.get(change.draft.target.cluster)
        return bool(target and target.simulated)

    async def switch(self, who: Principal, off: bool, reason: str) -> Switch:
        """Switch all changes off or on, in every process at once."""
        if off and not reason:
            raise Conflict("Say why changes are switched off.", "Fill in the reason.")
        switch = Switch(off, who.subject, reason[:1000], self.clock.now())
        await self.store.flip(switch)
        return switch

    async def freeze(self, who: Principal, environment: str, end: float, reason: str) -> HandFreeze:
        """Freeze an environment from now on, in every process at once. Raises InvalidInput."""
        now, known = self.clock.now(), self.approvals.gates.environments
        if environment not in ("*", *known):
            raise InvalidInput("There is no such environment.", f"There is: *, {', '.join(known)}.")
        if not reason:
            raise InvalidInput("Say why it is frozen.", "Fill in the reason.")
        if not now < end <= now + LONGEST_FREEZE:
            raise InvalidInput("A freeze ends in the future, and within 90 days.", "Choose another end.")
        freeze = HandFreeze(f"frz-{secrets.token_hex(8)}", environment, now, end, reason[:1000], who.subject)
        await self.store.freeze(freeze)
        return freeze

    async def lift(self, who: Principal, freeze_id: str) -> HandFreeze:
        """End a freeze of the console. Raises NotFound."""
        return await self.store.lift(freeze_id, who.subject)

    def _is_visible(self, who: Principal, change: Change) -> bool:
        at = change.draft.target
        if at.api.in_cloud:
            # As with clusters: of an account that is gone, the history stays.
            return self.accounts is None or at.cluster not in self.accounts or self.accounts.sees(who, at.cluster)
        try:
            cluster = self.clusters.named(at.cluster)
        except NotFound:
            return True  # of a cluster that is gone, the history stays
        return at.namespace is None or self.clusters.sees(who, cluster, at.namespace)

    def _check_image(self, image: str) -> None:
        if self.images and not any(_is_below(image, prefix) for prefix in self.images):
            raise Denied("That image comes from a registry that is not allowed.", f"Allowed: {', '.join(self.images)}.")

    async def _taken_up(self, change: Change) -> Change:
        """The change a moment later, so that the answer often has its outcome."""
        if change.state != "approved":
            return change
        self.runner.wake()
        end = self.clock.now() + SETTLE_SECONDS
        while change.state not in FINAL and self.clock.now() < end:
            await asyncio.sleep(POLL_SECONDS)
            change = await self.store.get(change.id, change.draft.requester.tenant)
        return change


def _is_below(image: str, prefix: str) -> bool:
    """Whole parts of the name count: `registry.example` allows neither `registry.example.evil/app` nor, since that is
    another registry, `registry.example:5000/app`."""
    rest = image.removeprefix(prefix)
    if "/" not in prefix and _PORT.match(rest):
        return False
    return image.startswith(prefix) and (prefix.endswith("/") or not rest or rest[0] in "/:@")
