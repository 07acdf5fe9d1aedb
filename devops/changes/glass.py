"""Break-glass: what cannot wait, or what a freeze or a closed window forbids, done by two people for a few minutes.

It stands in for the usual approvals, freezes and windows, and for nothing else. See docs/changes.md.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from common.errors import Conflict, Denied, InvalidInput
from common.security.principal import Principal
from common.security.untrusted import untrusted
from devops.changes.approval import check_fresh, check_plan, is_same_person
from devops.changes.change import Change, Glass, Switch
from devops.changes.clock import SteadyClock
from devops.changes.gates import Gates
from devops.changes.people import Actor, Rights, actor_of
from devops.changes.policy import BREAKS_GLASS, SECOND, ChangePolicy
from devops.changes.ports import ChangeStore
from devops.changes.records import Records
from devops.changes.states import WAITING

MIN_REASON, MAX_REASON = 10, 1000
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class GlassRules:
    """Who may, and for how long."""

    policy: ChangePolicy
    rights: Rights
    on: bool
    seconds: float

    async def asker_may(self, change: Change, glass: Glass) -> bool:
        """Whether who asked may do so now: the key, the roles and the right to the change itself."""
        draft = change.draft
        now = await self.rights.current(glass.asker)
        if now is None or not is_same_person(glass.asker, draft.requester):
            return False
        try:
            self.policy.requirement(now, draft.tool, draft.target, draft.environment, draft.risk)
        except Denied:
            return False
        return self.policy.permits(now, BREAKS_GLASS, draft)

    async def holds(self, change: Change, moment: float) -> bool:
        """Whether two people who may do so now have broken the glass for this plan, and it is not over."""
        glass = change.glass
        if not self.on or glass is None or glass.second is None or glass.is_over(moment):
            return False
        if glass.digest != change.draft.digest or is_same_person(glass.second, change.draft.requester):
            return False
        second = await self.rights.current(glass.second)
        if second is None or not self.policy.permits(second, SECOND, change.draft):
            return False
        return await self.asker_may(change, glass)


class BreakGlass:
    """Asks and agrees. Each step is recorded before it is taken."""

    def __init__(
        self,
        store: ChangeStore,
        rules: GlassRules,
        gates: Gates,
        records: Records,
        clock: SteadyClock,
        counted: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._store = store
        self.rules = rules
        self._gates = gates
        self._records = records
        self._clock = clock
        self._counted = counted

    async def ask(self, change: Change, digest: str, reason: str, who: Principal, signed_in_at: float) -> Change:
        """The requester asks; nothing is allowed by that alone. Raises NotFresh, Denied, Conflict, InvalidInput."""
        actor, now = actor_of(who), self._clock.now()
        self._check_on(signed_in_at)
        if not is_same_person(actor, change.draft.requester):
            raise Denied("Only who asked for this change can ask to break the glass.", "Plan a change of your own.")
        if not self.rules.policy.permits(who, BREAKS_GLASS, change.draft):
            raise Denied("Your roles do not let you break the glass for this change.", "Ask for its approval.")
        await self._check(change, digest, now)
        if change.glass is not None and (change.glass.is_agreed or not change.glass.is_over(now)):
            raise Conflict(
                "It was asked already.", "Tell a second person, or plan the change anew when it has expired."
            )
        until = min(now + self.rules.seconds, change.draft.expires_at)
        glass = Glass(f"glass-{secrets.token_hex(8)}", change.draft.digest, actor, checked(reason), now, until)
        async with self._records.around(
            "break_glass_ask", change.draft, actor, break_glass=glass.id, reason=glass.reason, until=until
        ):
            self._tell("asked", change, glass, actor)
            return await self._store.ask_glass(change, glass)

    async def agree(
        self, change: Change, glass_id: str, digest: str, reason: str, who: Principal, signed_in_at: float
    ) -> Change:
        """The second person agrees, and the change is approved for as long as the glass is open.

        Raises NotFresh, Denied, Conflict, InvalidInput.
        """
        actor, now = actor_of(who), self._clock.now()
        self._check_on(signed_in_at)
        if is_same_person(actor, change.draft.requester):
            raise Denied("Nobody breaks the glass alone.", "Ask another person with the role.")
        if not self.rules.policy.permits(who, SECOND, change.draft):
            raise Denied("Your roles do not let you break the glass for this change.", "Ask somebody whose roles do.")
        await self._check(change, digest, now)
        glass = change.glass
        if glass is None or not hmac.compare_digest(glass_id.encode(), glass.id.encode()):
            raise Conflict("That is not what was asked last.", "Read the change again.")
        if glass.is_agreed or glass.is_over(now):
            over = "It is over" if glass.is_over(now) else "A second person has agreed already"
            raise Conflict(f"{over}.", "Its requester can ask anew, as long as the change waits.")
        if not await self.rules.asker_may(change, glass):
            raise Denied("Who asked may not do so any more.", "Somebody else plans the change anew.")
        reason = checked(reason)
        async with self._records.around(
            "break_glass_open", change.draft, actor, break_glass=glass.id, reason=reason, until=glass.until
        ):
            self._tell("opened", change, glass, actor)
            return await self._store.open_glass(change, glass, actor, reason, now)

    def may_ask(self, change: Change, who: Principal) -> bool:
        """Whether this person is shown the form."""
        own = is_same_person(actor_of(who), change.draft.requester)
        return self.rules.on and own and self.rules.policy.permits(who, BREAKS_GLASS, change.draft)

    def may_agree(self, change: Change, who: Principal) -> bool:
        """Whether this person is shown the other form."""
        own = is_same_person(actor_of(who), change.draft.requester)
        return self.rules.on and not own and self.rules.policy.permits(who, SECOND, change.draft)

    def is_needed(self, change: Change, switch: Switch) -> bool:
        """Whether it would do something that the usual way does not."""
        waits_for_others = change.state == "awaiting_approval"
        closed = self._gates.closed(change.draft.environment, self._clock.now(), switch)
        return change.state in WAITING and (waits_for_others or closed is not None)

    def _check_on(self, signed_in_at: float) -> None:
        if not self.rules.on:
            raise Denied("Break-glass is off here.", "DEVOPS_BREAK_GLASS switches it on.")
        check_fresh(signed_in_at, self._clock.wall())

    async def _check(self, change: Change, digest: str, now: float) -> None:
        check_plan(change, digest, now)
        switch = await self._store.switch()
        self._gates.check_switch(switch)
        if not self.is_needed(change, switch):
            raise Conflict(f"The change is {change.state}: there is no glass to break.", "Read it again.")

    def _tell(self, step: str, change: Change, glass: Glass, actor: Actor) -> None:
        log.warning(f"break_glass.{step}", change=change.id, break_glass=glass.id, by=actor.subject, until=glass.until)
        self._counted(step)


def checked(reason: str) -> str:
    """In one line, without characters that deceive its reader. Raises InvalidInput for a reason that says nothing."""
    said = " ".join(untrusted(reason, MAX_REASON).text.split())
    if len(said) < MIN_REASON:
        raise InvalidInput("Say why it cannot wait.", f"Give a reason of at least {MIN_REASON} characters.")
    return said
