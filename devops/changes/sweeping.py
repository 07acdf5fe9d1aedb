"""Finds what was left: changes whose time is over, and executions whose process died. Nothing is ever repeated."""

import structlog

from common.errors import AppError, Conflict
from devops.changes.change import Change
from devops.changes.clock import SteadyClock
from devops.changes.cloud_operations import CloudOperation, state_of
from devops.changes.execution import Outcome
from devops.changes.manifests import mark_of
from devops.changes.observing import Observation, evictable, observe, write_of
from devops.changes.operations import Delete, Drain, operation_from
from devops.changes.people import Actor, acting_as
from devops.changes.planning import require_target
from devops.changes.ports import ChangeStore, ChangeTarget
from devops.changes.records import Records

SWEEPER = "sweeper"
PATIENCE_SECONDS, FOREIGN_SECONDS = 3600.0, 600.0
"""After its lease an execution whose object cannot be read is `unknown`; or whose cluster this server does not have:
so long has another server that has it."""
log = structlog.get_logger(__name__)


class Sweeper:
    """Ends changes that nobody else will."""

    def __init__(
        self, store: ChangeStore, targets: dict[str, ChangeTarget], records: Records, clock: SteadyClock
    ) -> None:
        self._store = store
        self._targets = targets
        self._records = records
        self._clock = clock

    async def sweep(self) -> None:
        """Once."""
        for change in await self._store.overdue(self._clock.now()):
            text = f"Nobody said yes in time: it was {change.state.replace('_', ' ')} until it expired."
            if change.glass is not None and change.glass.is_agreed:
                text = "Its break-glass was over before it was executed: nothing was done."
            await self._store.move(change, "expired", SWEEPER, {}, text)
        for change in await self._store.lapsed(self._clock.now()):
            try:
                who = change.draft.requester
                with acting_as(who), self._records.by_itself("reconcile_change", who):
                    await self.reconcile(change)
            except Exception as error:
                # The cluster or the audit log does not answer: it stays `executing`, and is looked at again.
                log.warning("change.not_reconciled", change=change.id, error=type(error).__name__)

    async def reconcile(self, change: Change) -> None:
        """Compare what is there with what was to be done."""
        outcome = await self._found_out(change)
        who = Actor(SWEEPER, change.draft.requester.tenant, (), (), "public")
        async with self._records.around("reconcile_change", change.draft, who) as recorded:
            recorded.outcome = outcome.state
            await self._store.finish(change, change.owner or "", outcome.state, outcome.text, outcome.detail)

    async def _found_out(self, change: Change) -> Outcome:
        """What cannot be read is looked at again for a while."""
        try:
            return await found_out(require_target(self._targets, change.draft.target.cluster), change)
        except AppError as error:
            patience = PATIENCE_SECONDS if change.draft.target.cluster in self._targets else FOREIGN_SECONDS
            if self._clock.now() - (change.lease_until or 0.0) <= patience:
                raise
            return Outcome("unknown", f"{INTERRUPTED} What is there could not be read: {error.message}", {})


async def found_out(target: ChangeTarget, change: Change) -> Outcome:
    """`succeeded` or `failed` if the live object proves it, else `unknown` with what is there."""
    draft, operation = change.draft, operation_from(change.draft.operation)
    live = await target.read(draft.target.api, draft.target.namespace, draft.target.name)
    uid = str(live["metadata"]["uid"]) if live else ""
    if isinstance(operation, Delete):
        if uid != draft.uid or (live and "deletionTimestamp" in live["metadata"]):
            return Outcome("succeeded", f"{INTERRUPTED} The object is gone.", {"uid": uid})
    elif isinstance(operation, Drain) and mark_of(live) == change.id:
        left = len(await evictable(target, draft.target.name))
        if left:
            return Outcome("unknown", f"{INTERRUPTED} The node is cordoned, and {left} pods are left.", {"left": left})
        return Outcome("succeeded", f"{INTERRUPTED} The node is cordoned and empty.", {})
    elif isinstance(operation, CloudOperation):
        # Nothing bears a mark in the cloud: what was to be is there, or what was is still there, or nobody knows.
        if live and uid == draft.uid and operation.is_done(live):
            return Outcome("succeeded", f"{INTERRUPTED} It is as planned: {state_of(live)}.", {"seen": state_of(live)})
        if not operation.leaves_trace:
            text = f"Nothing shows whether it was done; now {state_of(live)}. Look at it, then plan anew if needed."
            return Outcome("unknown", f"{INTERRUPTED} {text}", {"seen": state_of(live)})
    elif mark_of(live) == change.id:
        return Outcome("succeeded", f"{INTERRUPTED} The object bears the mark of this change.", {})
    if await _is_untouched(target, change, live is None):
        return Outcome("failed", f"{INTERRUPTED} Nothing was changed: plan it anew.", {})
    there = {"uid": uid, "resource_version": live["metadata"]["resourceVersion"]} if live else {"uid": ""}
    text = "What is there is neither as before nor marked: look at it, then plan anew what is still needed."
    return Outcome("unknown", f"{INTERRUPTED} {text}", there)


async def _is_untouched(target: ChangeTarget, change: Change, is_gone: bool) -> bool:
    draft, operation = change.draft, operation_from(change.draft.operation)
    if is_gone:
        return draft.uid == ""
    try:
        seen: Observation = await observe(target, draft.target, operation)
        write = write_of(operation, draft.target, seen)
    except Conflict:
        return False  # it is in a state in which the operation is not possible: another one than before
    return (seen.uid, seen.fingerprint, write.digest(draft.target)) == (draft.uid, draft.fingerprint, draft.write)


INTERRUPTED = "The execution was interrupted."
