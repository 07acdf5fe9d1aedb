"""The right yes: the requester's own for what is harmless, another person's for the rest."""

import hmac

from common.errors import AppError, Conflict, Denied
from common.security.principal import Principal
from devops.changes.change import Approval, Change
from devops.changes.clock import SteadyClock
from devops.changes.digest import is_intact
from devops.changes.gates import Gates
from devops.changes.people import Actor, actor_of
from devops.changes.policy import ChangePolicy
from devops.changes.ports import ChangeStore
from devops.changes.records import Records
from devops.changes.states import State

FRESH_SECONDS = 300.0
"""How old the sign-in of an approver may be."""
MAX_REASON = 1000


class NotFresh(AppError):
    """The approver must sign in again."""

    code = "sign_in"


class Approvals:
    """Confirms, approves, rejects, cancels. Every step is recorded before it is taken."""

    def __init__(
        self,
        store: ChangeStore,
        policy: ChangePolicy,
        gates: Gates,
        records: Records,
        clock: SteadyClock,
    ) -> None:
        self._store = store
        self._policy = policy
        self._gates = gates
        self._records = records
        self._clock = clock

    async def confirm(self, change: Change, digest: str, who: Principal, yes: bool) -> Change:
        """The requester's second word. Raises Conflict, Denied."""
        actor = actor_of(who)
        if not is_same_person(actor, change.draft.requester):
            raise Denied("Only who asked for this change can confirm it.", "Ask for a change of your own.")
        await self._check(change, "awaiting_confirmation", digest)
        to: State = "approved" if yes else "rejected"
        async with self._records.around("confirm_change", change.draft, actor, yes=yes):
            await self._move(change, to, actor, None if yes else "The requester said no.")
        return await self._again(change)

    async def approve(self, change: Change, digest: str, who: Principal, signed_in_at: float | None) -> Change:
        """Another person's yes; `signed_in_at` is None where approving by tool is switched on.

        Raises NotFresh, Denied (own change, no role), Conflict (stale digest, other state, approved already).
        """
        actor = actor_of(who)
        if signed_in_at is not None:
            check_fresh(signed_in_at, self._clock.wall())
        if is_same_person(actor, change.draft.requester):
            raise Denied("Nobody approves their own change.", "Ask another person with the role.")
        if not self.may_approve(change, who):
            raise Denied("Your roles do not let you approve this change.", "Ask somebody whose roles do.")
        await self._check(change, "awaiting_approval", digest)
        approval = Approval(actor, digest, self._clock.now())
        async with self._records.around("approve_change", change.draft, actor):
            return await self._store.approve(change, approval, change.draft.requirement.approvals)

    async def reject(self, change: Change, reason: str, who: Principal) -> Change:
        """An approver's no. Raises Denied, Conflict."""
        actor = actor_of(who)
        if not self.may_approve(change, who):
            raise Denied("Your roles do not let you reject this change.", "Its requester can cancel it.")
        async with self._records.around("reject_change", change.draft, actor, reason=reason[:MAX_REASON]):
            await self._move(change, "rejected", actor, f"Rejected by {actor.subject}: {reason[:MAX_REASON]}")
        return await self._again(change)

    async def cancel(self, change: Change, who: Principal) -> Change:
        """The requester takes it back. Raises Denied, Conflict."""
        actor = actor_of(who)
        if not is_same_person(actor, change.draft.requester) and "admin" not in who.roles:
            raise Denied("Only who asked for this change can cancel it.", "An approver can reject it in the console.")
        async with self._records.around("cancel_change", change.draft, actor):
            await self._move(change, "cancelled", actor, f"Cancelled by {actor.subject}.")
        return await self._again(change)

    @property
    def gates(self) -> Gates:
        """What stops changes whoever asks."""
        return self._gates

    def may_approve(self, change: Change, who: Principal) -> bool:
        """Whether this person's yes would count, but for the digest and the sign-in."""
        draft = change.draft
        same_tenant = who.tenant == draft.requester.tenant
        subject = draft.requester.subject
        return same_tenant and self._policy.may_approve(
            who, subject, draft.tool, draft.target, draft.environment, draft.risk
        )

    async def _check(self, change: Change, state: State, digest: str) -> None:
        if change.state != state:
            raise Conflict(f"The change is {change.state}.", "Read it again with get_change; plan anew if it ended.")
        check_plan(change, digest, self._clock.now())
        self._gates.check(change.draft.environment, self._clock.now(), await self._store.switch())

    async def _move(self, change: Change, to: State, actor: Actor, outcome: str | None) -> None:
        if not await self._store.move(change, to, actor.subject, {"digest": change.draft.digest}, outcome):
            raise Conflict("Somebody else was faster: the change has moved on.", "Read it again with get_change.")

    async def _again(self, change: Change) -> Change:
        return await self._store.get(change.id, change.draft.requester.tenant)


def check_fresh(signed_in_at: float, now: float) -> None:
    """Raises NotFresh. Both are times of the machine's clock; one from the future is from before it was set back."""
    if not -1 <= now - signed_in_at <= FRESH_SECONDS:
        raise NotFresh("Your sign-in is too old to approve with it.", "Sign in again, then approve.")


def check_plan(change: Change, digest: str, now: float) -> None:
    """Raises Conflict unless the digest is that of the stored plan, and the plan still holds."""
    if not hmac.compare_digest(digest.encode(), change.draft.digest.encode()) or not is_intact(change):
        raise Conflict("That digest is not the one of this change.", "Read it again, then decide about what it is now.")
    if now >= change.draft.expires_at:
        raise Conflict("The change has expired.", "Plan it anew.")


def is_same_person(one: Actor, other: Actor) -> bool:
    """Two keys of one person are one person."""
    return (one.tenant, one.person) == (other.tenant, other.person)
