"""Pages of the console for changes: the queue, one change with its diff and its forms, and the switch.

The forms are JSON routes, too: `POST .../approve {"digest"}` and `.../reject {"reason"}`, with `X-Form-Token`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, RedirectResponse, Response

from common.console.forms import read_form, text
from common.console.page import HOME, SIGN_IN, Page, Visit
from common.console.trace_page import SEE_TRACES, trace_link
from common.errors import Denied, InvalidInput
from common.observability.call import request_id
from common.paging import decode_cursor, encode_cursor
from common.security.audit import AuditRecord
from devops import rollout_pages
from devops.change_answers import change_shown, needs
from devops.change_forms import QUEUE, form, sign_in_for
from devops.changes.approval import FRESH_SECONDS, NotFresh, is_same_person
from devops.changes.change import Change, Entry, Switch
from devops.changes.people import actor_of
from devops.changes.service import Changes
from devops.changes.shown import is_whole
from devops.changes.states import NEXT, WAITING, State
from devops.freeze_pages import freezes_shown
from devops.glass_pages import moment

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
SWITCH = f"{HOME}/change-switch"
POST = frozenset({"POST"})
LATEST = 50
HISTORY = ["changes that ended"]
ENDED: list[State] = sorted(set(NEXT) - WAITING - {"planned"})
VERBS = ("approve", "reject", "confirm", "break-glass", "break-glass-agree", "way-back")
TONES: dict[str, str] = {
    "succeeded": "good",
    "failed": "bad",
    "unknown": "bad",
    "rejected": "warn",
    "expired": "warn",
    "drifted": "warn",
    "awaiting_approval": "warn",
    "awaiting_confirmation": "warn",
    "high": "bad",
    "critical": "bad",
    "medium": "warn",
    "low": "good",
}


class ChangePages:
    """What people see of changes, and what they say to them."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def pages(self) -> list[Page]:
        """All addresses."""
        one = "/changes/{id}"
        see = "console:changes"
        return [
            Page("/changes", "Changes", see, self.queue, order=20),
            Page(one, "Change", see, self.one, in_nav=False),
            Page(f"{one}/approve", "Approve", see, form(self._changes, self._approve), in_nav=False, methods=POST),
            Page(f"{one}/reject", "Reject", see, form(self._changes, self._reject), in_nav=False, methods=POST),
            Page(f"{one}/confirm", "Confirm", see, form(self._changes, self._confirm), in_nav=False, methods=POST),
            Page("/change-switch", "Switch", "console:switch", self.switch, in_nav=False, methods=POST),
        ]

    async def queue(self, visit: Visit) -> Response:
        """What waits, and page by page what ended."""
        cursor, who, switch = (
            visit.request.query_params.get("cursor"),
            visit.principal,
            await self._changes.store.switch(),
        )
        older = decode_cursor(cursor, HISTORY, list) if cursor else None
        place = (float(older[0]), str(older[1])) if older else None
        waiting, _ = ([], None) if place else await self._changes.page(who, sorted(WAITING), LATEST)
        ended, rest = await self._changes.page(who, ENDED, LATEST, place)
        return visit.render(
            "changes.html",
            waiting=[self._row(visit, change) for change in waiting],
            latest=[self._row(visit, change) for change in ended],
            is_first=place is None,
            next_page=f"{QUEUE}?cursor={encode_cursor(list(rest), HISTORY)}" if rest else "",
            off=switch,
            may_switch=visit.runtime.policy.allows(who, "console:switch"),
            address=SWITCH,
            **freezes_shown(self._changes, switch),
        )

    async def one(self, visit: Visit) -> Response:
        """One change, with what this person may do to it."""
        change = await self._changes.get(visit.principal, visit.request.path_params["id"])
        if "application/json" in visit.request.headers.get("accept", ""):
            return self._as_json(visit, change)
        own = is_same_person(actor_of(visit.principal), change.draft.requester)
        switch, now = await self._changes.store.switch(), self._changes.clock.now()
        closed = self._changes.approvals.gates.closed(change.draft.environment, now, switch)
        may_approve = not own and self._changes.approvals.may_approve(change, visit.principal)
        return visit.render(
            "change.html",
            **self._row(visit, change),
            lines=[(_tone(line), line) for line in change.draft.plan.diff.splitlines()],
            is_whole=is_whole(change.draft.plan.diff),
            blast=change.draft.plan.blast,
            reasons=change.draft.plan.reasons,
            journal=[
                (step(entry), entry.by, entry.detail.get("request", ""))
                for entry in await self._changes.journal(change)
            ],
            sees_traces=visit.runtime.policy.allows(visit.principal, SEE_TRACES),
            base=f"{QUEUE}/{change.id}",
            fresh=visit.session.is_fresh(FRESH_SECONDS),
            sign_in=sign_in_for(change.id),
            own=own,
            trace_link=trace_link,
            closed=closed.message if closed and change.state in WAITING else "",
            can_approve=may_approve and not closed and change.state == "awaiting_approval",
            can_reject=may_approve and change.state in WAITING,
            can_confirm=own and not closed and change.state == "awaiting_confirmation",
            **self._glass(visit, change, switch),
            **rollout_pages.shown(visit, change, await self._changes.rollouts.of(change.id)),
        )

    def _glass(self, visit: Visit, change: Change, switch: Switch) -> dict[str, Any]:
        """What this person may do about break-glass."""
        breaking, glass = self._changes.glass, change.glass
        is_waiting = glass is not None and not glass.is_agreed and not glass.is_over(self._changes.clock.now())
        needed = breaking.is_needed(change, switch)
        return {
            "glass": glass,
            "glass_until": moment(glass.until, "%H:%M:%S UTC") if glass else "",
            "can_ask": needed and not is_waiting and breaking.may_ask(change, visit.principal),
            "can_agree": needed and is_waiting and breaking.may_agree(change, visit.principal),
            "minutes": breaking.rules.seconds / 60,
        }

    def _as_json(self, visit: Visit, change: Change) -> Response:
        """For programs: the change, and the tokens that its forms would carry."""
        url = f"{QUEUE}/{change.id}"
        tokens = {verb: visit.layout["form_token"](f"{url}/{verb}") for verb in VERBS}
        shown = change_shown(change, url, self._changes.is_simulated(change)).model_dump(mode="json")
        return JSONResponse({**shown, "form_tokens": tokens})

    async def switch(self, visit: Visit) -> Response:
        """Switch all changes off or on."""
        if not visit.session.is_fresh(FRESH_SECONDS):
            return RedirectResponse(f"{SIGN_IN}?next={quote(QUEUE)}", 303)
        given, who = await read_form(visit.request), visit.principal
        off, reason = text(given, "to") != "on", text(given, "reason")
        record = AuditRecord("event", "switch_changes", request_id.get(), who.subject, who.tenant)
        await visit.runtime.audit.write(replace(record, detail={"off": off, "reason": reason}))
        await self._changes.switch(who, off, reason)
        return RedirectResponse(QUEUE, 303)

    async def _approve(self, visit: Visit, change_id: str, fields: Mapping[str, str]) -> Change:
        digest = fields.get("digest", "")
        return await self._changes.approve(visit.principal, change_id, digest, visit.session.auth_time)

    async def _reject(self, visit: Visit, change_id: str, fields: Mapping[str, str]) -> Change:
        reason = fields.get("reason", "")
        if not reason:
            raise InvalidInput("Say why you reject it.", "Fill in the reason.")
        return await self._changes.reject(visit.principal, change_id, reason)

    async def _confirm(self, visit: Visit, change_id: str, fields: Mapping[str, str]) -> Change:
        if not visit.session.is_fresh(FRESH_SECONDS):
            raise NotFresh("Your sign-in is too old to confirm with it.", "Sign in again, then confirm.")
        if fields.get("answer") not in ("yes", "no"):
            raise Denied("Only a clear yes or no counts.", "Use the buttons of the page.")
        yes = fields["answer"] == "yes"
        return await self._changes.confirm(visit.principal, change_id, fields.get("digest", ""), yes)

    def _row(self, visit: Visit, change: Change) -> dict[str, Any]:
        draft = change.draft
        return {
            "change": change,
            "draft": draft,
            "url": f"{QUEUE}/{change.id}",
            "tone": TONES.get(change.state, ""),
            "risk_tone": TONES[draft.risk],
            "age": duration(self._changes.clock.now() - draft.created_at),
            "left": duration(max(0.0, draft.expires_at - self._changes.clock.now())),
            "needs": needs(change),
            "simulated": self._changes.is_simulated(change),
        }


def step(entry: Entry) -> str:
    """What was done, in words."""
    if "break_glass" in entry.detail:
        return "break-glass asked for" if entry.detail.get("asked") else "break-glass opened, and so approved"
    return entry.state.replace("_", " ")


def _tone(line: str) -> str:
    return {"+": "good", "-": "bad", "@": "quiet"}.get(line[:1], "")


def duration(seconds: float) -> str:
    """12 s, 4 min, 3 h, 2 d"""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
