"""Zendesk's JSON as the hub's records. Raises what a wrong shape raises; the caller turns it into an error."""

from collections.abc import Mapping
from typing import Any

from support_hub.adapters.platform import emails, excerpt, moment, without_empty
from support_hub.phones import normalised
from support_hub.records import Comment, Person, Priority, Reference, Status, Ticket

NAME = "zendesk"
STATUSES: dict[str, Status] = {
    "new": "new",
    "open": "open",
    "pending": "pending",
    "hold": "pending",
    "solved": "solved",
    "closed": "closed",
}
PRIORITIES: dict[str | None, Priority] = {
    None: "normal",
    "low": "low",
    "normal": "normal",
    "high": "high",
    "urgent": "urgent",
}


def person(user: Mapping[str, Any], companies: Mapping[int, str], base: str, region: str) -> Person:
    """A user."""
    number = normalised(user.get("phone") or "", region)
    fields = {
        "name": user["name"],
        "email": user.get("email"),
        "phone": number or user.get("phone"),
        "company": companies.get(user.get("organization_id") or 0),
    }
    return Person(
        reference=Reference(NAME, str(user["id"])),
        fields=without_empty(fields),
        emails=emails(user.get("email")),
        phones=frozenset([number] if number else []),
        updated_at=moment(user["updated_at"]),
        url=f"{base}/agent/users/{int(user['id'])}",
    )


def ticket(raw: Mapping[str, Any], addresses: Mapping[int, str], base: str) -> Ticket:
    """A ticket; `addresses` are those of users by id."""
    return Ticket(
        reference=Reference(NAME, str(raw["id"])),
        subject=raw["subject"] or "",
        status=STATUSES[raw["status"]],
        priority=PRIORITIES[raw["priority"]],
        created_at=moment(raw["created_at"]),
        updated_at=moment(raw["updated_at"]),
        excerpt=excerpt(raw.get("description")),
        requester=addresses.get(raw["requester_id"], ""),
        mirror_of=_mirror(raw.get("external_id") or ""),
        url=f"{base}/agent/tickets/{int(raw['id'])}",
    )


def comment(raw: Mapping[str, Any], names: Mapping[int, str]) -> Comment:
    """A comment; `names` are those of users by id."""
    return Comment(moment(raw["created_at"]), names.get(raw["author_id"], ""), raw["plain_body"], bool(raw["public"]))


def _mirror(external_id: str) -> Reference | None:
    """The integration of Salesforce writes the case's id there."""
    is_case = external_id.startswith("500") and external_id.isalnum() and len(external_id) in (15, 18)
    return Reference("salesforce", external_id) if is_case else None
