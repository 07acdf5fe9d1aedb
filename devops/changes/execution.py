"""Executes what was approved: once, with what was approved, and only while everything still holds."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from common.errors import AppError, Conflict, Denied, InvalidInput, NotFound, RateLimited
from common.resilience.deadline import deadline
from devops.changes.approval import is_same_person
from devops.changes.change import Change
from devops.changes.clock import SteadyClock
from devops.changes.cloud_operations import state_of
from devops.changes.digest import is_intact
from devops.changes.draining import Drained, evict_all
from devops.changes.gates import Gates
from devops.changes.glass import GlassRules
from devops.changes.observing import Observation, Write, observe, send, write_of
from devops.changes.operations import operation_from
from devops.changes.people import Rights
from devops.changes.planning import require_target
from devops.changes.policy import ChangePolicy, is_stricter
from devops.changes.ports import ChangeStore, ChangeTarget
from devops.changes.records import Records
from devops.changes.states import State
from devops.ports import Manifest

TRIES = 5
PAUSE_SECONDS = 0.1
"""How often a write is sent again after a Conflict, which says that nothing was changed."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How an execution ended."""

    state: State
    text: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Timing:
    """Seconds. Nothing is sent so late that it could arrive after the lease."""

    lease: float = 60.0
    write: float = 20.0
    drain: float = 600.0
    pause: float = 2.0


DEFAULT_TIMING = Timing()


class Executor:
    """Claims approved changes and carries them out."""

    def __init__(
        self,
        store: ChangeStore,
        targets: dict[str, ChangeTarget],
        policy: ChangePolicy,
        gates: Gates,
        rights: Rights,
        glass: GlassRules,
        records: Records,
        clock: SteadyClock,
        owner: str,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._store = store
        self._targets = targets
        self._policy = policy
        self._gates = gates
        self._rights = rights
        self._glass = glass
        self._records = records
        self._clock = clock
        self._owner = f"{owner}-{secrets.token_hex(4)}"
        self._timing = timing

    async def execute(self, change: Change) -> None:
        """Carry out one approved change, or say why not. What cannot be read now is tried again later."""
        if change.state != "approved":
            return
        broken = await self._glass.holds(change, self._clock.now())
        if change.glass is not None and change.glass.is_agreed and not broken:
            state: State = "expired" if self._is_over(change) else "rejected"
            await self._store.move(change, state, self._owner, {"break_glass": change.glass.id}, GLASS_GONE)
            return
        try:
            await self._check_gates(change, broken)
        except Denied:
            return  # it waits until changes are possible again, or until it expires
        refusal = await self.refusal(change, broken)
        if refusal is not None:
            await self._store.move(change, refusal.state, self._owner, refusal.detail, refusal.text)
            return
        with self._records.by_itself("execute_change", change.draft.requester):
            await self._carry_out(change, broken)

    async def _carry_out(self, change: Change, broken: bool) -> None:
        target = require_target(self._targets, change.draft.target.cluster)
        seen, write = await self._look(change, target)
        if write is None:
            await self._store.move(change, "drifted", self._owner, {"seen": seen.fingerprint}, DRIFTED.text)
            return
        detail = {"break_glass": change.glass.id} if broken and change.glass else {}
        async with self._records.around("execute_change", change.draft, change.draft.requester, **detail) as recorded:
            if not await self._claim(change):
                recorded.outcome = "conflict"
                return
            outcome = await self._perform(change, target, seen, write)
            recorded.outcome = outcome.state if outcome else "unknown"
            if outcome and not await self._store.finish(
                change, self._owner, outcome.state, outcome.text, outcome.detail
            ):
                log.error("change.finished_late", change=change.id, outcome=outcome.state)

    async def _check_gates(self, change: Change, broken: bool) -> None:
        """Raises Denied. A broken glass gets around freezes and windows, and never around the switch."""
        switch = await self._store.switch()
        if broken:
            self._gates.check_switch(switch)
        else:
            self._gates.check(change.draft.environment, self._clock.now(), switch)

    async def refusal(self, change: Change, broken: bool = False) -> Outcome | None:
        """Why an approved change may not be carried out any more; `broken`: two people have broken the glass for it."""
        draft = change.draft
        if not is_intact(change):
            return Outcome("rejected", "The stored change is not the one that was planned.", {})
        if draft.requirement.policy_version != self._policy.version:
            return Outcome("drifted", "The policy has changed since: plan it anew.", {})
        requester = await self._rights.current(draft.requester)
        try:
            if requester is None:
                raise Denied("key")
            needed = self._policy.requirement(requester, draft.tool, draft.target, draft.environment, draft.risk)
        except Denied:
            return Outcome("rejected", "Its requester may not ask for this any more.", {})
        if is_stricter(needed, draft.requirement):
            return Outcome("drifted", "It needs another yes than the one that was asked for: plan it anew.", {})
        if not broken and await self._good_approvals(change) < draft.requirement.approvals:
            return Outcome("rejected", "It has not enough approvals of people who may approve it now.", {})
        return None

    async def _good_approvals(self, change: Change) -> int:
        draft, people = change.draft, set()
        for approval in change.approvals:
            current = await self._rights.current(approval.actor)
            if current is None or approval.digest != draft.digest or is_same_person(approval.actor, draft.requester):
                continue
            subject = draft.requester.subject
            place = (draft.tool, draft.target, draft.environment, draft.risk)
            if current.tenant == draft.requester.tenant and self._policy.may_approve(current, subject, *place):
                people.add(approval.actor.person)
        return len(people)

    async def _look(self, change: Change, target: ChangeTarget) -> tuple[Observation, Write | None]:
        """What is there now, and what to send; nothing to send if that is not what was approved."""
        draft, operation = change.draft, operation_from(change.draft.operation)
        try:
            seen = await observe(target, draft.target, operation)
            write = write_of(operation, draft.target, seen)
        except (NotFound, Conflict):
            return Observation(None), None
        same = (seen.uid, seen.fingerprint, write.digest(draft.target)) == (draft.uid, draft.fingerprint, draft.write)
        return seen, write if same else None

    async def _claim(self, change: Change) -> bool:
        now = self._clock.now()
        return await self._store.claim(change, self._owner, now + self._timing.lease, now)

    async def _perform(self, change: Change, target: ChangeTarget, seen: Observation, write: Write) -> Outcome | None:
        """The outcome; None if nobody knows, which is found out when the lease has run out."""
        try:
            # Around all tries: nothing may be sent when the lease is nearly over.
            async with deadline(self._timing.write):
                outcome = await self._write(change, target, seen, write)
        except Exception as error:
            log.error("change.nobody_knows", change=change.id, error=type(error).__name__)
            return None
        if outcome.state != "succeeded" or write.verb != "drain":
            return outcome
        return await self._drain(change, target)

    async def _write(self, change: Change, target: ChangeTarget, seen: Observation, write: Write) -> Outcome:
        """`succeeded` if it was accepted, else why nothing was changed."""
        for attempt in range(TRIES):
            try:
                after = await send(target, change.draft.target, write, seen, change.id, dry_run=False)
                return _accepted(change, after)
            except (InvalidInput, Denied, RateLimited) as error:
                return Outcome("failed", f"It was refused, and nothing was changed: {error.message}", {})
            except (Conflict, NotFound):
                # The precondition failed, so nothing was changed. Often only the status is new.
                await asyncio.sleep(PAUSE_SECONDS * attempt)
                fresh = await self._look_again(change, target)
                if fresh is None:
                    return DRIFTED
                seen, write = fresh
        return Outcome("failed", "The object changed all the time; nothing was changed. Plan it anew.", {})

    async def _look_again(self, change: Change, target: ChangeTarget) -> tuple[Observation, Write] | None:
        try:
            seen, write = await self._look(change, target)
        except AppError:
            return None
        return (seen, write) if write else None

    def _is_over(self, change: Change) -> bool:
        """What goes on for long ends with its break-glass."""
        return change.glass is not None and change.glass.is_agreed and change.glass.is_over(self._clock.now())

    async def _drain(self, change: Change, target: ChangeTarget) -> Outcome | None:
        noted: int | None = None

        async def may_go_on(left: int) -> bool:
            nonlocal noted
            held = await self._store.hold(change, self._owner, self._clock.now() + self._timing.lease)
            if left != noted:
                await self._store.note(change, self._owner, {"pods_left": left})
                noted = left
            return held and not (await self._store.switch()).off and not self._is_over(change)

        name, timing = change.draft.target.name, self._timing
        try:
            drained: Drained = await evict_all(target, name, may_go_on, timing.drain, timing.pause)
        except Exception as error:
            log.error("change.nobody_knows", change=change.id, error=type(error).__name__)
            return None
        state: State = "succeeded" if drained.left == 0 else "failed"
        return Outcome(state, drained.text, {"evicted": drained.evicted, "pods_left": drained.left})


def _accepted(change: Change, after: Manifest | None) -> Outcome:
    if not change.draft.target.api.in_cloud:
        return Outcome("succeeded", "The cluster has accepted it.", {})
    seen = state_of(after)
    return Outcome("succeeded", f"AWS has accepted it, and shows: {seen}.", {"seen": seen})


GLASS_GONE = "Its break-glass does not hold any more: it is over, or somebody lost the right to it. Nothing was done."
DRIFTED = Outcome("drifted", "The object has changed since it was planned; nothing was done. Plan it anew.", {})
