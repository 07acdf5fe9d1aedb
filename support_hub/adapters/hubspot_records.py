"""HubSpot's JSON as the hub's records. Raises what a wrong shape raises; the caller turns it into an error."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from support_hub.adapters.platform import emails, excerpt, moment, without_empty
from support_hub.phones import normalised
from support_hub.records import Comment, Person, Priority, Reference, Status, Ticket

NAME = "hubspot"
STAGES: dict[str, Status] = {"1": "new", "2": "pending", "3": "open", "4": "closed"}
"""Of the support pipeline that every portal has."""
PRIORITIES: dict[str | None, Priority] = {
    None: "normal",
    "LOW": "low",
    "MEDIUM": "normal",
    "HIGH": "high",
    "URGENT": "urgent",
}
CONTACT = (
    "email", "firstname", "lastname", "phone", "mobilephone", "company", "jobtitle", "city", "country",
    "hs_additional_emails", "lastmodifieddate",
)  # fmt: skip
TICKET = ("subject", "content", "hs_pipeline_stage", "hs_ticket_priority", "createdate", "hs_lastmodifieddate")


def person(raw: Mapping[str, Any], region: str) -> Person:
    """A contact."""
    known = raw["properties"]
    country = known.get("country") or region
    phones = [normalised(known.get(name) or "", country) for name in ("phone", "mobilephone")]
    others = (known.get("hs_additional_emails") or "").split(";")
    fields = {
        "name": f"{known.get('firstname') or ''} {known.get('lastname') or ''}",
        "email": known.get("email") or others[0],
        "phone": next(filter(None, phones), known.get("phone")),
        "company": known.get("company"),
        "title": known.get("jobtitle"),
        "city": known.get("city"),
        "country": known.get("country"),
    }
    return Person(
        reference=Reference(NAME, str(raw["id"])),
        fields=without_empty(fields),
        emails=emails(known.get("email"), *others),
        phones=frozenset(filter(None, phones)),
        updated_at=moment(raw["updatedAt"]),
    )


def ticket(raw: Mapping[str, Any], requester: str = "") -> Ticket:
    """A ticket."""
    known = raw["properties"]
    return Ticket(
        reference=Reference(NAME, str(raw["id"])),
        subject=known["subject"] or "",
        status=STAGES.get(known["hs_pipeline_stage"], "open"),
        priority=PRIORITIES.get(known["hs_ticket_priority"], "normal"),
        created_at=moment(known["createdate"]),
        updated_at=moment(known["hs_lastmodifieddate"]),
        excerpt=excerpt(known.get("content")),
        requester=requester,
    )


def comment(raw: Mapping[str, Any]) -> Comment:
    """A note: HTML there, text here. Customers do not see notes."""
    known = raw["properties"]
    return Comment(moment(known["hs_timestamp"]), "", plain(known.get("hs_note_body") or ""), False)


def plain(html: str) -> str:
    """The text of HTML."""
    reader = _Text()
    reader.feed(html)
    reader.close()
    return "".join(reader.parts).strip()


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.parts += ["\n"] if tag in ("br", "p", "div", "li") else []
