"""A rollout in the console: a bar that moves, as server-sent events, and the way back that it offers."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.responses import Response

from common.console.live import Batch
from common.console.page import Page, Visit
from common.errors import Denied
from devops.change_forms import QUEUE, form
from devops.changes.change import Change
from devops.changes.rollouts import OFFERS_ROLLBACK, Rollout
from devops.changes.service import Changes
from devops.live_pages import LivePages

PAUSE_SECONDS = 0.5
TONES = {"complete": "good", "stuck": "bad", "halted": "bad", "gone": "warn", "superseded": "warn", "unwatched": "warn"}


class RolloutPages:
    """Follows one change from its execution to its last replica."""

    def __init__(self, changes: Changes, live: LivePages) -> None:
        self._changes = changes
        self._live = live

    def pages(self) -> list[Page]:
        """All addresses."""
        one, see = "/changes/{id}", "console:changes"
        back = form(self._changes, self._way_back)
        return [
            Page(f"{one}/rollout", "Rollout", see, self.follow, in_nav=False, recorded=True),
            Page(f"{one}/way-back", "Roll back", see, back, in_nav=False, methods=frozenset({"POST"})),
        ]

    async def follow(self, visit: Visit) -> Response:
        """What changes of it, as it changes."""
        change = await self._changes.get(visit.principal, visit.request.path_params["id"])

        async def entries(_: str | None) -> AsyncGenerator[Batch, None]:
            look, last = self._live.look(visit), ""
            while True:
                await look()
                now = await self._changes.get(visit.principal, change.id)
                rollout = await self._changes.rollouts.of(change.id)
                if (told := json.dumps(progress(now, rollout))) != last:
                    yield Batch(told)
                    last = told
                if not is_moving(now, rollout):
                    return
                await asyncio.sleep(PAUSE_SECONDS)

        return self._live.stream(visit, entries)

    async def _way_back(self, visit: Visit, change_id: str, _: Mapping[str, str]) -> Change:
        if not visit.runtime.policy.allows(visit.principal, "rollback_workload"):
            raise Denied("Your roles do not let you plan a rollback.", "Ask an operator.")
        return await self._changes.way_back(visit.principal, change_id)


def is_moving(change: Change, rollout: Rollout | None) -> bool:
    """Whether there will be something new to tell."""
    if change.state == "succeeded":
        return rollout is not None and rollout.is_watched
    return change.state in ("approved", "executing")


def progress(change: Change, rollout: Rollout | None) -> dict[str, Any]:
    """For the page's script, and for its template."""
    if rollout is None:
        return {"change": change.state, "state": "", "tone": "", "done": 0, "wanted": 1, "text": "", "reason": ""}
    text = f"{rollout.updated} of {rollout.wanted} updated, {rollout.ready} ready"
    return {
        "change": change.state,
        "state": rollout.state,
        "tone": TONES.get(rollout.state, ""),
        "done": min(rollout.ready, rollout.wanted),
        "wanted": max(rollout.wanted, 1),
        "text": f"{text}, {rollout.old} old ones left" if rollout.old else text,
        "reason": rollout.reason,
    }


def shown(visit: Visit, change: Change, rollout: Rollout | None) -> dict[str, Any]:
    """What the page of the change needs."""
    offers = rollout is not None and rollout.state in OFFERS_ROLLBACK
    return {
        "rollout": progress(change, rollout) if rollout is not None else None,
        "rollout_source": f"{QUEUE}/{change.id}/rollout" if is_moving(change, rollout) else "",
        "can_go_back": offers and visit.runtime.policy.allows(visit.principal, "rollback_workload"),
    }
