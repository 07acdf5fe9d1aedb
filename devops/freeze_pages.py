"""Freezes in the console: set one, and lift it. Each is recorded before it is done."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from common.console.forms import read_form, text
from common.console.page import HOME, SIGN_IN, Page, Visit
from common.errors import InvalidInput
from common.observability.call import request_id
from common.security.audit import AuditRecord
from devops.change_forms import QUEUE
from devops.changes.approval import FRESH_SECONDS
from devops.changes.change import Switch
from devops.changes.service import Changes
from devops.glass_pages import moment

SET, LIFT = f"{HOME}/change-freeze", f"{HOME}/change-freeze/lift"
POST = frozenset({"POST"})
SWITCHES = "console:switch"


class FreezePages:
    """For those who may switch changes off, too."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def pages(self) -> list[Page]:
        """All addresses."""
        return [
            Page("/change-freeze", "Freeze", SWITCHES, self.freeze, in_nav=False, methods=POST),
            Page("/change-freeze/lift", "Lift a freeze", SWITCHES, self.lift, in_nav=False, methods=POST),
        ]

    async def freeze(self, visit: Visit) -> Response:
        """From now on, until the time in the form."""
        if not visit.session.is_fresh(FRESH_SECONDS):
            return _sign_in()
        given = await read_form(visit.request)
        environment, reason, end = text(given, "environment"), text(given, "reason"), until(text(given, "until"))
        await self._record(visit, "freeze_changes", {"environment": environment, "until": end, "reason": reason})
        await self._changes.freeze(visit.principal, environment, end, reason)
        return RedirectResponse(QUEUE, 303)

    async def lift(self, visit: Visit) -> Response:
        """Before its time."""
        if not visit.session.is_fresh(FRESH_SECONDS):
            return _sign_in()
        freeze_id = text(await read_form(visit.request), "freeze")
        await self._record(visit, "lift_freeze", {"freeze": freeze_id})
        await self._changes.lift(visit.principal, freeze_id)
        return RedirectResponse(QUEUE, 303)

    async def _record(self, visit: Visit, action: str, detail: Mapping[str, Any]) -> None:
        who = visit.principal
        record = AuditRecord("event", action, request_id.get(), who.subject, who.tenant)
        await visit.runtime.audit.write(replace(record, detail=dict(detail)))


def freezes_shown(changes: Changes, switch: Switch) -> dict[str, Any]:
    """What the page of the queue says of them."""
    now = changes.clock.now()
    by_hand = {freeze.id: freeze for freeze in switch.freezes}
    return {
        "frozen": changes.approvals.gates.frozen(now, switch),
        "by_hand": [{"freeze": freeze, "until": moment(freeze.end)} for freeze in by_hand.values()],
        "environments": changes.approvals.gates.environments,
        "freeze_address": SET,
        "lift_address": LIFT,
        "default_end": datetime.fromtimestamp(now + 3600, UTC).strftime("%Y-%m-%dT%H:%M"),
    }


def until(given: str) -> float:
    """The end that the form says, in UTC. Raises InvalidInput."""
    try:
        return datetime.fromisoformat(given).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise InvalidInput("Until when?", "Give a date and a time in UTC, such as 2026-12-24T18:00.") from None


def _sign_in() -> Response:
    return RedirectResponse(f"{SIGN_IN}?next={quote(QUEUE)}", 303)
