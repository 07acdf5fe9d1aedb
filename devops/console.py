"""Pages of the console for changes: the queue, one change with its diff and its forms, and the switch.

The forms are JSON routes, too: `POST .../approve {"digest"}` and `.../reject {"reason"}`, with `X-Form-Token`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, RedirectResponse, Response

from common.console.forms import read_form, text
from common.console.page import HOME, SIGN_IN, Page, Visit
from common.console.shell import STATUS
from common.errors import AppError, Denied, InvalidInput
from common.observability.call import request_id
from common.security.audit import AuditRecord
from devops.change_answers import change_shown, needs
from devops.changes.approval import FRESH_SECONDS, NotFresh, is_same_person
from devops.changes.change import Change
from devops.changes.people import actor_of
from devops.changes.service import Changes
from devops.changes.states import WAITING

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
QUEUE = f"{HOME}/changes"
SWITCH = f"{HOME}/change-switch"
POST = frozenset({"POST"})
LATEST = 50
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
Act = Callable[[Visit, str, Mapping[str, str]], Awaitable[Change]]


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
            Page(f"{one}/approve", "Approve", see, self._form(self._approve), in_nav=False, methods=POST),
            Page(f"{one}/reject", "Reject", see, self._form(self._reject), in_nav=False, methods=POST),
            Page(f"{one}/confirm", "Confirm", see, self._form(self._confirm), in_nav=False, methods=POST),
            Page("/change-switch", "Switch", "console:switch", self.switch, in_nav=False, methods=POST),
        ]

    async def queue(self, visit: Visit) -> Response:
        """What waits, and what was done lately."""
        waiting, _ = await self._changes.page(visit.principal, sorted(WAITING), LATEST)
        latest, _ = await self._changes.page(visit.principal, [], LATEST)
        return visit.render(
            "changes.html",
            waiting=[self._row(visit, change) for change in waiting],
            latest=[self._row(visit, change) for change in latest if change.state not in WAITING],
            off=await self._changes.store.switch(),
            may_switch=visit.runtime.policy.allows(visit.principal, "console:switch"),
            address=SWITCH,
        )

    async def one(self, visit: Visit) -> Response:
        """One change, with what this person may do to it."""
        change = await self._changes.get(visit.principal, visit.request.path_params["id"])
        if "application/json" in visit.request.headers.get("accept", ""):
            return self._as_json(visit, change)
        own = is_same_person(actor_of(visit.principal), change.draft.requester)
        may_approve = not own and self._changes.approvals.may_approve(change, visit.principal)
        return visit.render(
            "change.html",
            **self._row(visit, change),
            lines=[(_tone(line), line) for line in change.draft.plan.diff.splitlines()],
            blast=change.draft.plan.blast,
            reasons=change.draft.plan.reasons,
            journal=await self._changes.journal(change),
            base=f"{QUEUE}/{change.id}",
            fresh=visit.session.is_fresh(FRESH_SECONDS),
            sign_in=_sign_in(change.id),
            own=own,
            can_approve=may_approve and change.state == "awaiting_approval",
            can_reject=may_approve and change.state in WAITING,
            can_confirm=own and change.state == "awaiting_confirmation",
        )

    def _as_json(self, visit: Visit, change: Change) -> Response:
        """For programs: the change, and the tokens that its forms would carry."""
        url = f"{QUEUE}/{change.id}"
        tokens = {verb: visit.layout["form_token"](f"{url}/{verb}") for verb in ("approve", "reject", "confirm")}
        shown = change_shown(change, url, self._is_simulated(change)).model_dump(mode="json")
        return JSONResponse({**shown, "form_tokens": tokens})

    async def switch(self, visit: Visit) -> Response:
        """Switch all changes off or on."""
        if not visit.session.is_fresh(FRESH_SECONDS):
            return RedirectResponse(f"{SIGN_IN}?next={quote(QUEUE)}", 303)
        form, who = await read_form(visit.request), visit.principal
        off, reason = text(form, "to") != "on", text(form, "reason")
        record = AuditRecord("event", "switch_changes", request_id.get(), who.subject, who.tenant)
        await visit.runtime.audit.write(replace(record, detail={"off": off, "reason": reason}))
        await self._changes.switch(who, off, reason)
        return RedirectResponse(QUEUE, 303)

    def _form(self, act: Act) -> "Callable[[Visit], Awaitable[Response]]":
        async def answer(visit: Visit) -> Response:
            change_id = visit.request.path_params["id"]
            is_json = visit.request.headers.get("content-type", "").startswith("application/json")
            try:
                change = await act(visit, change_id, await _fields(visit, is_json))
            except NotFresh as error:
                return _refused(error) if is_json else RedirectResponse(_sign_in(change_id), 303)
            except AppError as error:
                if not is_json:
                    raise
                return _refused(error)
            url = f"{QUEUE}/{change.id}"
            if is_json:
                return JSONResponse(change_shown(change, url, self._is_simulated(change)).model_dump(mode="json"))
            return RedirectResponse(url, 303)

        return answer

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
            "simulated": self._is_simulated(change),
        }

    def _is_simulated(self, change: Change) -> bool:
        target = self._changes.targets.get(change.draft.target.cluster)
        return bool(target and target.simulated)


async def _fields(visit: Visit, is_json: bool) -> Mapping[str, str]:
    if not is_json:
        form = await read_form(visit.request)
        return {name: text(form, name) for name in ("digest", "reason", "answer")}
    try:
        body = json.loads(await visit.request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise InvalidInput("The body is no JSON object.", 'Send {"digest": "..."} or {"reason": "..."}.')
    return {name: value for name, value in body.items() if isinstance(value, str)}


def _refused(error: AppError) -> Response:
    status = 401 if isinstance(error, NotFresh) else STATUS.get(error.code, 503)
    return JSONResponse({"error": str(error), "code": error.code}, status)


def _sign_in(change_id: str) -> str:
    return f"{SIGN_IN}?next={quote(f'{QUEUE}/{change_id}')}"


def _tone(line: str) -> str:
    return {"+": "good", "-": "bad", "@": "quiet"}.get(line[:1], "")


def duration(seconds: float) -> str:
    """12 s, 4 min, 3 h, 2 d"""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
