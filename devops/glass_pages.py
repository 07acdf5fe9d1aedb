"""Break-glass in the console: its two forms, its history for ever, and the alarm over every page while one is open."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from common.console.frame import Notice
from common.console.page import HOME, Page, Visit
from common.paging import decode_cursor, encode_cursor
from common.security.principal import Principal
from devops.change_forms import QUEUE, form
from devops.changes.change import Change, Glass
from devops.changes.service import Changes

HISTORY = f"{HOME}/break-glass"
POST = frozenset({"POST"})
PAGE = 50
MOST_NOTICES = 5


class GlassPages:
    """What people see of break-glass, and what they say to it."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def pages(self) -> list[Page]:
        """All addresses."""
        see, one = "console:changes", "/changes/{id}"
        ask, agree = form(self._changes, self._ask), form(self._changes, self._agree)
        return [
            Page("/break-glass", "Break-glass", see, self.history, in_nav=False),
            Page(f"{one}/break-glass", "Break the glass", see, ask, in_nav=False, methods=POST),
            Page(f"{one}/break-glass-agree", "Agree", see, agree, in_nav=False, methods=POST),
        ]

    async def history(self, visit: Visit) -> Response:
        """Every use there ever was."""
        cursor, question = visit.request.query_params.get("cursor"), ["break-glass"]
        older = decode_cursor(cursor, question, list) if cursor else None
        place = (float(older[0]), str(older[1])) if older else None
        found, rest = await self._changes.glasses(visit.principal, PAGE, place)
        return visit.render(
            "break_glass.html",
            rows=[{"change": change, "glass": glass, **self._row(change, glass)} for change, glass in found],
            next_page=f"{HISTORY}?cursor={encode_cursor(list(rest), question)}" if rest else "",
            is_on=self._changes.glass.rules.on,
        )

    async def notices(self, who: Principal) -> list[Notice]:
        """One for each that waits or is open, for those who may see its change."""
        found, _ = await self._changes.glasses(who, MOST_NOTICES, only_open=True)
        return [self._notice(change, glass) for change, glass in found]

    async def _ask(self, visit: Visit, change_id: str, fields: Mapping[str, str]) -> Change:
        digest, reason = fields.get("digest", ""), fields.get("reason", "")
        return await self._changes.ask_to_break_glass(
            visit.principal, change_id, digest, reason, visit.session.auth_time
        )

    async def _agree(self, visit: Visit, change_id: str, fields: Mapping[str, str]) -> Change:
        glass_id, digest, reason = (fields.get(name, "") for name in ("break_glass", "digest", "reason"))
        return await self._changes.break_glass(
            visit.principal, change_id, glass_id, digest, reason, visit.session.auth_time
        )

    def _notice(self, change: Change, glass: Glass) -> Notice:
        until = moment(glass.until, "%H:%M:%S UTC")
        summary = change.draft.plan.summary
        summary = summary[:1].lower() + summary[1:]
        if glass.second is None:
            text = f"{glass.asker.subject} asks to {summary}: “{glass.reason}” A second person is needed until {until}."
            return Notice("Break-glass is asked for.", text, f"{QUEUE}/{change.id}")
        people = f"{glass.asker.subject} and {glass.second.subject}"
        return Notice("Break-glass is open.", f"{people}: {summary}, until {until}.", f"{QUEUE}/{change.id}")

    def _row(self, change: Change, glass: Glass) -> dict[str, Any]:
        now = self._changes.clock.now()
        state = "open" if glass.is_agreed else "asked"
        if glass.is_over(now) or change.state not in ("awaiting_approval", "awaiting_confirmation", "approved"):
            state = "used" if glass.is_agreed else "not agreed"
        return {"url": f"{QUEUE}/{change.id}", "state": state, "asked_at": moment(glass.asked_at)}


def moment(seconds: float, style: str = "%Y-%m-%d %H:%M UTC") -> str:
    """A time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime(style)
