"""What stands around every page of the console: open break-glass, and how many changes wait for this person."""

from collections.abc import Callable

from common.console.frame import Frame, FrameOf
from common.security.principal import Principal
from devops.change_forms import QUEUE
from devops.changes.approval import is_same_person
from devops.changes.change import Change
from devops.changes.people import actor_of
from devops.changes.service import Changes
from devops.glass_pages import GlassPages

SEE = "console:changes"
MOST = 99


def change_frame(changes: Changes, may_see: Callable[[Principal, str], bool]) -> FrameOf:
    """For those who may see changes at all."""
    glass = GlassPages(changes)

    async def frame(who: Principal) -> Frame:
        if not may_see(who, SEE):
            return Frame()
        waiting, _ = await changes.page(who, ["awaiting_confirmation", "awaiting_approval"], MOST)
        badges = {QUEUE: sum(waits_for(changes, change, who) for change in waiting)}
        return Frame(await glass.notices(who), badges)

    return frame


def waits_for(changes: Changes, change: Change, who: Principal) -> bool:
    """Whether it is this person who can decide about it, and has not yet."""
    actor = actor_of(who)
    own = is_same_person(actor, change.draft.requester)
    if change.state == "awaiting_confirmation":
        return own
    if own or any(is_same_person(given.actor, actor) for given in change.approvals):
        return False
    glass = change.glass
    asked = glass is not None and not glass.is_agreed and not glass.is_over(changes.clock.now())
    return changes.approvals.may_approve(change, who) or (asked and changes.glass.may_agree(change, who))
