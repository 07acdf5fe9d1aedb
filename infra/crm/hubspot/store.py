"""Objects and associations, from the seed."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from infra.crm.clock import hubspot_time
from infra.crm.hubspot.schema import ObjectType
from infra.crm.seed.records import Listing, Ticket, World
from infra.crm.seed.spelling import HUBSPOT_FIRST
from infra.crm.text import folded

Record = dict[str, Any]
STAGES = {"new": "1", "open": "3", "pending": "2", "solved": "4", "closed": "4"}
PRIORITIES = {"low": "LOW", "normal": "MEDIUM", "high": "HIGH", "urgent": "URGENT"}


class HubSpotStore:
    """Records by type and id, in the order of their ids, and who is joined to whom, both ways."""

    def __init__(self, world: World) -> None:
        self.objects: dict[str, dict[str, Record]] = {name: {} for name in HUBSPOT_FIRST}
        self.joined: dict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)
        listings = [listing for listing in world.listings if listing.platform == "hubspot"]
        self._emails: dict[str, str] = {}
        self._texts: dict[str, tuple[str, str]] = {}
        for listing in listings:
            self._company(listing)
        for listing in listings:
            self._contact(listing)
        notes = HUBSPOT_FIRST["notes"]
        for ticket in world.tickets:
            if ticket.platform == "hubspot":
                notes = self._ticket(ticket, notes)

    def add(self, kind: str, number: str, properties: Record, created: datetime, updated: datetime) -> Record:
        """Write a new record."""
        modified = "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"
        stamps = {"hs_object_id": number, "createdate": hubspot_time(created), modified: hubspot_time(updated)}
        record = {
            "id": number,
            "properties": {**properties, **stamps},
            "createdAt": hubspot_time(created),
            "updatedAt": hubspot_time(updated),
            "archived": False,
        }
        self.objects[kind][number] = record
        if properties.get("email"):
            self._emails[properties["email"].casefold()] = number
        return record

    def next_id(self, kind: str) -> str:
        """An id that was not used."""
        return str(max((int(number) for number in self.objects[kind]), default=HUBSPOT_FIRST[kind]) + 1)

    def by_email(self, email: str) -> str | None:
        """Id of the contact with this main e-mail."""
        return self._emails.get(email.casefold())

    def by_unique(self, name: str, value: str) -> str | None:
        """Id of the record with this value of a unique property."""
        if name == "email":
            return self.by_email(value)
        tickets = self.objects["tickets"].values()
        return next((each["id"] for each in reversed(tickets) if each["properties"].get(name) == value), None)

    def renamed(self, old: str | None, new: str | None, number: str) -> None:
        """A contact's e-mail was changed."""
        if old and self._emails.get(old.casefold()) == number:
            del self._emails[old.casefold()]
        if new:
            self._emails[new.casefold()] = number

    def join(self, kind: str, number: str, to: str, other: str) -> None:
        """Associate two records, both ways."""
        self.joined[kind, number, to][other] = None
        self.joined[to, other, kind][number] = None

    def text(self, kind: ObjectType, record: Record) -> str:
        """What the free-text query of a type looks at, folded; kept until the record changes."""
        kept = self._texts.get(record["id"])
        if kept is None or kept[0] != record["updatedAt"]:
            text = folded(" \n ".join(str(record["properties"].get(name) or "") for name in kind.searched))
            kept = self._texts[record["id"]] = (record["updatedAt"], text)
        return kept[1]

    def _company(self, listing: Listing) -> None:
        number = str(HUBSPOT_FIRST["companies"] + listing.company.number * 3)
        if number in self.objects["companies"]:
            return
        company = listing.company
        properties = {
            "name": listing.company_name,
            "domain": company.domain,
            "industry": company.industry.upper().replace(" ", "_"),
            "city": company.city,
            "country": company.country,
            "customer_number": company.key,
        }
        self.add("companies", number, properties, listing.created, listing.created)

    def _contact(self, listing: Listing) -> None:
        properties = {
            "email": listing.email or None,
            "firstname": listing.first,
            "lastname": listing.last,
            "phone": listing.phone or None,
            "mobilephone": listing.mobile or None,
            "company": listing.company_name,
            "jobtitle": listing.title or None,
            "address": listing.address.street,
            "city": listing.address.city,
            "zip": listing.address.postcode,
            "country": listing.address.country,
            "lifecyclestage": "customer",
        }
        if listing.email and self.by_email(listing.email):
            # An e-mail belongs to one contact: the second of a shared mailbox has it only as an additional one.
            properties |= {"email": None, "hs_additional_emails": listing.email}
        self.add("contacts", listing.record_id, properties, listing.created, listing.updated)
        company = str(HUBSPOT_FIRST["companies"] + listing.company.number * 3)
        self.join("contacts", listing.record_id, "companies", company)

    def _ticket(self, ticket: Ticket, note: int) -> int:
        closed = hubspot_time(ticket.updated) if ticket.status in ("solved", "closed") else None
        properties = {
            "subject": ticket.subject,
            "content": ticket.text,
            "hs_pipeline": "0",
            "hs_pipeline_stage": STAGES[ticket.status],
            "hs_ticket_priority": PRIORITIES[ticket.priority],
            "hs_ticket_category": ticket.problem.upper(),
            "source_type": "EMAIL",
            "product_sku": ticket.sku,
            "serial_number": ticket.serial,
            "closed_date": closed,
        }
        contact = ticket.listing.record_id
        self.add("tickets", ticket.record_id, properties, ticket.created, ticket.updated)
        self.join("tickets", ticket.record_id, "contacts", contact)
        company = str(HUBSPOT_FIRST["companies"] + ticket.listing.company.number * 3)
        self.join("tickets", ticket.record_id, "companies", company)
        for comment in ticket.comments:
            author = comment.agent or f"{ticket.listing.first} {ticket.listing.last}"
            body = {"hs_note_body": f"{author}: {comment.text}", "hs_timestamp": hubspot_time(comment.at)}
            self.add("notes", str(note), body, comment.at, comment.at)
            self.join("notes", str(note), "tickets", ticket.record_id)
            note += 1
        return note
