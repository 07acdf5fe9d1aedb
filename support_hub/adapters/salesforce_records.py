"""Salesforce's JSON as the hub's records. Raises what a wrong shape raises; the caller turns it into an error."""

from collections.abc import Mapping, Set
from typing import Any

from support_hub.adapters.platform import emails, excerpt, moment, without_empty
from support_hub.phones import normalised
from support_hub.records import Comment, Person, Priority, Reference, Status, Ticket

NAME = "salesforce"
STATUSES: dict[str, Status] = {
    "New": "new",
    "Working": "open",
    "Escalated": "open",
    "On Hold": "pending",
    "Closed": "closed",
}
NAMES: dict[Status, Set[str]] = {
    "new": {"New"},
    "open": {"Working", "Escalated"},
    "pending": {"On Hold"},
    # Salesforce knows one end only.
    "solved": {"Closed"},
    "closed": {"Closed"},
}
PRIORITIES: dict[str | None, Priority] = {None: "normal", "Low": "low", "Medium": "normal", "High": "high"}


def person(raw: Mapping[str, Any], base: str, region: str) -> Person:
    """A contact."""
    country = raw.get("MailingCountry") or region
    phones = [normalised(raw.get(name) or "", country) for name in ("Phone", "MobilePhone")]
    account = raw.get("Account") or {}
    fields = {
        "name": raw["Name"],
        "email": raw.get("Email"),
        "phone": next(filter(None, phones), raw.get("Phone")),
        "company": account.get("Name"),
        "title": raw.get("Title"),
        "city": raw.get("MailingCity"),
        "country": raw.get("MailingCountry"),
    }
    return Person(
        reference=Reference(NAME, raw["Id"]),
        fields=without_empty(fields),
        emails=emails(raw.get("Email")),
        phones=frozenset(filter(None, phones)),
        updated_at=moment(raw["LastModifiedDate"]),
        url=f"{base}/{raw['Id']}",
    )


def ticket(raw: Mapping[str, Any], base: str, external: str) -> Ticket:
    """A case; `external` is the field that an integration with Zendesk writes."""
    contact = raw.get("Contact") or {}
    known = "closed" if raw.get("IsClosed") else "open"
    return Ticket(
        reference=Reference(NAME, raw["Id"]),
        subject=raw["Subject"] or "",
        status=STATUSES.get(raw["Status"], known),  # type: ignore[arg-type]
        priority=PRIORITIES.get(raw["Priority"], "normal"),
        created_at=moment(raw["CreatedDate"]),
        updated_at=moment(raw["LastModifiedDate"]),
        excerpt=excerpt(raw.get("Description")),
        requester=(contact.get("Email") or raw.get("SuppliedEmail") or "").lower(),
        mirror_of=_mirror(raw.get(external) or ""),
        url=f"{base}/{raw['Id']}",
    )


def comment(raw: Mapping[str, Any]) -> Comment:
    """A case comment. Who wrote it needs a right that an integration seldom has."""
    return Comment(moment(raw["CreatedDate"]), "", raw["CommentBody"] or "", bool(raw["IsPublished"]))


def _mirror(external: str) -> Reference | None:
    source, _, number = external.partition(":")
    return Reference("zendesk", number) if source == "zendesk" and number.isdigit() else None
