"""Creating and updating tickets: comments, safe updates, idempotency keys."""

import hashlib
from collections.abc import Callable
from typing import Any

from infra.crm.calls import Answer, Call, Refused, json_object
from infra.crm.clock import now, zendesk_time
from infra.crm.platform import Platform
from infra.crm.zendesk.errors import bad_request, blank, conflict, invalid, not_found
from infra.crm.zendesk.search import ORDERS
from infra.crm.zendesk.store import API_AGENT, Record, ZendeskStore, new_ticket

FIELDS = ("subject", "status", "priority", "type", "assignee_id", "group_id", "tags", "external_id", "custom_fields")
CHOICES = {**ORDERS, "type": ("problem", "incident", "question", "task")}


class TicketWriter:
    """The write side of tickets. `platform` hears of each change."""

    def __init__(self, store: ZendeskStore, platform: Platform, show: Callable[[Call, Record], Record]) -> None:
        self._store, self._platform, self._show = store, platform, show
        self._keys: dict[str, tuple[str, Answer]] = {}

    def create(self, call: Call) -> Answer:
        """POST /tickets. The same Idempotency-Key gives the same ticket; with another body it is refused."""
        key, digest = call.headers.get("Idempotency-Key"), hashlib.sha256(call.body).hexdigest()
        if key and key in self._keys:
            seen, answer = self._keys[key]
            if seen != digest:
                text = "Request parameters are different from the previous one for the same key"
                raise Refused({"error": "IdempotentRequestError", "description": text}, 400)
            return Answer(answer.body, answer.status, {**answer.headers, "x-idempotency-lookup": "hit"})
        ticket = self._create(_ticket_of(call))
        location = {"Location": f"{call.base_url}/api/v2/tickets/{ticket['id']}.json"}
        audit = _audit(ticket, [{"type": "Create", "field_name": "subject", "value": ticket["subject"]}])
        answer = Answer({"ticket": self._show(call, ticket), "audit": audit}, 201, location)
        if not key:
            return answer
        self._keys[key] = (digest, answer)
        return Answer(answer.body, 201, {**location, "x-idempotency-lookup": "miss"})

    def update(self, call: Call) -> Answer:
        """PUT /tickets/{id}."""
        ticket = self._store.tickets.get(int(call.parts["id"]) if call.parts["id"].isdigit() else 0)
        if ticket is None:
            raise not_found()
        wanted = _ticket_of(call)
        if ticket["status"] == "closed":
            text = "Status: closed prevents ticket update"
            raise invalid({"status": [{"description": text}]})
        if wanted.get("safe_update") and wanted.get("updated_stamp") != ticket["updated_at"]:
            raise conflict()
        _check(wanted)
        previous = {name: ticket[name] for name in FIELDS if name in wanted and wanted[name] != ticket[name]}
        ticket.update({name: wanted[name] for name in previous})
        if "subject" in previous:
            ticket["raw_subject"] = ticket["subject"]
        comment = self._comment(ticket, wanted.get("comment"))
        if previous or comment:
            self._touch(ticket)
            told = {**previous, "comment": comment} if comment else previous
            self._platform.changed("ticket", "updated", ticket, told)
        events = [{"type": "Change", "field_name": name, "value": ticket[name]} for name in previous]
        audit = _audit(ticket, events)
        return Answer({"ticket": self._show(call, ticket), "audit": audit})

    def _create(self, wanted: Record) -> Record:
        comment = wanted.get("comment")
        text = (
            comment.get("body") or comment.get("html_body") if isinstance(comment, dict) else wanted.get("description")
        )
        if not text or not isinstance(text, str):
            raise blank("description")
        _check(wanted)
        requester, at = self._requester(wanted), now()
        number = max(self._store.tickets) + 1
        made = new_ticket(number, str(wanted.get("subject") or text[:80]), text, requester, at)
        made.update({name: wanted[name] for name in FIELDS if name in wanted and name != "subject"})
        made["submitter_id"] = API_AGENT
        made["organization_id"] = self._store.users[requester]["organization_id"]
        public = comment.get("public", True) if isinstance(comment, dict) else True
        made["is_public"] = public
        self._store.tickets[number] = made
        self._store.add_comment(number, requester, text, bool(public), at)
        self._platform.changed("ticket", "created", made)
        return made

    def _requester(self, wanted: Record) -> int:
        if wanted.get("requester_id") is not None:
            if not _is_user(self._store, wanted["requester_id"]):
                raise invalid({"requester": [{"description": "Requester: is invalid", "error": "InvalidValue"}]})
            return int(wanted["requester_id"])
        given = wanted.get("requester")
        if not isinstance(given, dict):
            return API_AGENT
        email = str(given.get("email") or "").casefold()
        for user in self._store.users.values():
            if email and (user["email"] or "").casefold() == email:
                return int(user["id"])
        if not given.get("name"):
            raise invalid({"requester": [{"description": "Requester Name: is too short (minimum one character)"}]})
        return self._new_user(str(given["name"]), email or None)

    def _new_user(self, name: str, email: str | None) -> int:
        number = max(self._store.users) + 7
        stamp = zendesk_time(now())
        empty: Record = dict.fromkeys(next(iter(self._store.users.values())))
        made = {
            **empty,
            "id": number,
            "name": name,
            "email": email,
            "role": "end-user",
            "active": True,
            "tags": [],
        }
        self._store.users[number] = {**made, "notes": "", "user_fields": {}, "created_at": stamp, "updated_at": stamp}
        self._platform.changed("user", "created", self._store.users[number])
        return number

    def _comment(self, ticket: Record, given: Any) -> Record | None:
        if not isinstance(given, dict) or not (given.get("body") or given.get("html_body")):
            return None
        author = given.get("author_id") or API_AGENT
        if not _is_user(self._store, author):
            raise invalid({"author": [{"description": "Author: is invalid", "error": "InvalidValue"}]})
        text = str(given.get("body") or given["html_body"])
        return self._store.add_comment(ticket["id"], author, text, bool(given.get("public", True)), now())

    def _touch(self, ticket: Record) -> None:
        moment = now()
        ticket["updated_at"], ticket["generated_timestamp"] = zendesk_time(moment), int(moment.timestamp())


def _audit(ticket: Record, events: list[Record]) -> Record:
    return {"ticket_id": ticket["id"], "author_id": API_AGENT, "created_at": ticket["updated_at"], "events": events}


def _is_user(store: ZendeskStore, number: Any) -> bool:
    return isinstance(number, int) and number in store.users


def _ticket_of(call: Call) -> Record:
    body = json_object(call)
    if body is None:
        raise Refused({"error": "Unprocessable Entity", "message": "Server could not parse JSON"}, 422)
    if not isinstance(body.get("ticket"), dict):
        raise bad_request("Missing parameter", "Required parameter is missing: ticket")
    wanted: Record = body["ticket"]
    return wanted


def _check(wanted: Record) -> None:
    for name, known in CHOICES.items():
        if wanted.get(name) is not None and wanted[name] not in known:
            text = f"{name.capitalize()}: {wanted[name]} is not included in the list"
            raise invalid({name: [{"description": text, "error": "InvalidValue"}]})
    if not isinstance(wanted.get("subject", ""), str | None):
        raise invalid({"subject": [{"description": "Subject: is invalid", "error": "InvalidValue"}]})
    if "tags" in wanted and not (
        isinstance(wanted["tags"], list) and all(isinstance(tag, str) for tag in wanted["tags"])
    ):
        raise invalid({"tags": [{"description": "Tags: are invalid", "error": "InvalidValue"}]})
