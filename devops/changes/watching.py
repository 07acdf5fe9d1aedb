"""Follows rollouts until they end, says when one stands still, and halts it where that is allowed."""

import asyncio
import copy
from dataclasses import dataclass, replace
from typing import Any

import structlog

from common.errors import AppError, Denied
from devops.changes.change import Change
from devops.changes.clock import SteadyClock
from devops.changes.gates import Gates
from devops.changes.manifests import marked
from devops.changes.operations import HALTED
from devops.changes.people import Actor, Rights, acting_as
from devops.changes.planning import require_target
from devops.changes.policy import HALT, ChangePolicy
from devops.changes.ports import ChangeStore, ChangeTarget, RolloutStore
from devops.changes.records import Records
from devops.changes.rollouts import WATCHER, Patience, Rollout, looked, unseen
from devops.kinds import POD, REPLICA_SET
from devops.ports import Manifest

PAUSE_SECONDS = 1.0
AGAIN_SECONDS = 5.0
"""After which a rollout is looked at again that could not be read."""
BATCH = 20
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Halting:
    """Who decides whether a rollout that stands still is paused. Nothing is ever rolled back by itself."""

    on: bool
    policy: ChangePolicy
    rights: Rights
    gates: Gates


class Watcher:
    """Each rollout is looked at by one process at a time."""

    def __init__(
        self,
        store: ChangeStore,
        rollouts: RolloutStore,
        targets: dict[str, ChangeTarget],
        halting: Halting,
        records: Records,
        clock: SteadyClock,
        patience: Patience,
    ) -> None:
        self._store = store
        self._rollouts = rollouts
        self._targets = targets
        self._halting = halting
        self._records = records
        self._clock = clock
        self._patience = patience

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:
                log.warning("rollouts.round_failed", error=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    async def look(self) -> None:
        """Once, at those whose turn it is."""
        taken = await self._rollouts.take(BATCH)
        await asyncio.gather(*(self._guarded(change, rollout) for change, rollout in taken))

    async def _guarded(self, change: Change, rollout: Rollout) -> None:
        try:
            with acting_as(change.draft.requester):
                await self._look_at(change, rollout)
        except Exception as error:
            # The cluster does not answer, or lets nobody read it: its turn comes again, but not for ever.
            log.warning("rollout.not_looked_at", change=change.id, error=type(error).__name__)
            now = unseen(rollout, self._clock.now(), self._patience)
            await self._rollouts.keep(change, rollout, now, AGAIN_SECONDS)

    async def _look_at(self, change: Change, before: Rollout) -> None:
        at = change.draft.target
        target = require_target(self._targets, at.cluster)
        live = await target.read(at.api, at.namespace, at.name)
        labels = _labels(live)
        sets = await target.related(REPLICA_SET, at.namespace, labels=labels) if live else []
        pods = await target.related(POD, at.namespace, labels=labels) if live else []
        now = looked(before, live, sets, pods, self._clock.now(), self._patience)
        if now.state == "stuck" and live is not None and await self._halt(change, now, target, live):
            now = replace(now, state="halted", reason=f"Halted, since it stood still. {now.reason}")
        await self._rollouts.keep(change, before, now)
        if now.state != before.state and now.state in ("stuck", "halted"):
            log.warning(f"rollout.{now.state}", change=change.id, reason=now.reason)

    async def _halt(self, change: Change, rollout: Rollout, target: ChangeTarget, live: Manifest) -> bool:
        """Pause it, with what was looked at as precondition; False if that is not allowed, or not possible now."""
        if not await self._may_halt(change):
            return False
        paused = marked(copy.deepcopy(live), change.id)
        paused["metadata"]["annotations"][HALTED] = change.id
        paused["spec"]["paused"] = True
        who = Actor(WATCHER, change.draft.requester.tenant, (), (), "public")
        try:
            with self._records.by_itself("halt_rollout", who):
                async with self._records.around("halt_rollout", change.draft, who, reason=rollout.reason):
                    await target.replace(paused, dry_run=False)
        except AppError as error:
            log.warning("rollout.not_halted", change=change.id, error=error.code)
            return False
        return True

    async def _may_halt(self, change: Change) -> bool:
        halting, draft = self._halting, change.draft
        if not halting.on:
            return False
        try:
            halting.gates.check_switch(await self._store.switch())
        except Denied:
            return False
        requester = await halting.rights.current(draft.requester)
        return requester is not None and halting.policy.permits(requester, HALT, draft)


def _labels(live: Manifest | None) -> dict[str, Any]:
    selector = ((live or {}).get("spec") or {}).get("selector") or {}
    return dict(selector.get("matchLabels") or {})
