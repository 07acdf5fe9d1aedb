"""HubSpot, CRM v3 objects and v4 associations."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from common.errors import Conflict, InvalidInput, NotFound, RateLimited, Unavailable
from common.http.client import Request, ResilientClient
from common.http.guard import path
from common.resilience.deadline import remaining
from common.resilience.rate_limit import LocalRateLimiter
from support_hub.adapters import hubspot_query as queries
from support_hub.adapters import hubspot_records as records
from support_hub.adapters.hubspot_connection import SEARCHES, SEARCHES_AT_ONCE
from support_hub.adapters.newest import FIRST_LOOK, MOST, cut
from support_hub.adapters.platform import Api
from support_hub.ports import START, Contact, NewTicket, Page, Place, TicketChange, TicketQuery
from support_hub.records import Comment, Conversation, Person, Ticket

OBJECTS = "crm/v3/objects"
BATCH = 100
MOST_NOTES = 500
SEARCH_PAGE = 200
STAGES = {"new": "1", "open": "3", "pending": "2", "solved": "4", "closed": "4"}
PRIORITIES = {"low": "LOW", "normal": "MEDIUM", "high": "HIGH", "urgent": "URGENT"}
TO_CONTACT, TO_TICKET = 16, 228
"""Association types of HubSpot: ticket to contact, note to ticket."""
KEY = "external_reference"
"""Custom property of tickets with unique values. HubSpot's upsert by it would take no associations, and undo what was
changed since the first time."""


class HubSpot:
    """See ports.Crm. Scopes: crm.objects.contacts.read, tickets, crm.objects.notes of the private app."""

    name = records.NAME
    title = "HubSpot"

    def __init__(self, client: ResilientClient, region: str) -> None:
        self._api = Api(client, self.title)
        self._region = region
        self._searches = LocalRateLimiter(SEARCHES, SEARCHES_AT_ONCE)

    async def find_people(self, contact: Contact) -> list[Person]:
        if contact.phone:
            found = await self._search("contacts", {"filterGroups": queries.by_phone(contact.phone)}, SEARCH_PAGE, 0)
            return [each for each in self._people(found["results"]) if contact.phone in each.phones]
        names = ",".join(records.CONTACT)
        number = contact.reference.id if contact.reference else contact.email
        more = {} if contact.reference else {"idProperty": "email"}
        try:
            raw = await self._api.get(f"{OBJECTS}/contacts/{path(number)}", properties=names, **more)
        except NotFound:
            return await self._by_further_address(contact.email) if contact.email else []
        return self._people([raw])

    async def search_people(self, text: str, limit: int, after: str | None = None) -> Page[Person]:
        asked = {"query": text[: queries.MOST_QUERY], "sorts": [{"propertyName": "lastname", "direction": "ASCENDING"}]}
        found = await self._search("contacts", asked, limit, int(after or "0"))
        with self._api.reading():
            following = found["paging"]["next"]["after"] if "paging" in found else None
        return Page(self._people(found["results"]), following, found["total"])

    async def tickets_of(self, people: Sequence[Person], limit: int) -> list[Ticket]:
        addresses = {person.reference.id: person.fields.get("email", "").lower() for person in people}
        joined = await self._joined("contacts", "tickets", list(addresses))
        owners = {ticket: addresses[contact] for contact, tickets in joined.items() for ticket in tickets}
        # Ids grow: where there are more than one batch, the newest ones count.
        numbers = sorted(owners, key=int, reverse=True)[:BATCH]
        rows = await self._read("tickets", numbers, records.TICKET)
        with self._api.reading():
            tickets = [records.ticket(raw, owners[str(raw["id"])]) for raw in rows]
        return sorted(tickets, key=lambda ticket: ticket.updated_at, reverse=True)[:limit]

    async def search_tickets(self, query: TicketQuery, limit: int, place: Place = START) -> Page[Ticket]:
        contacts = []
        if query.requester:
            contacts = [person.reference.id for person in await self.find_people(Contact(email=query.requester))]
            if not contacts:
                return Page([])
        until = None if query.by_relevance else place.updated_at
        asked = {
            "query": query.text[: queries.MOST_QUERY],
            "filterGroups": queries.ticket_filters(query, contacts, until),
            "sorts": [{"propertyName": "hs_lastmodifieddate", "direction": "DESCENDING"}],
        }
        if query.by_relevance:
            # HubSpot has no order by relevance: its own order is that of the last change.
            body = await self._search("tickets", asked, limit, place.skip)
            return Page(self._tickets(body), "more" if "paging" in body else None, body["total"])
        return await self._newest(asked, limit, place)

    async def conversation(self, ticket_id: str) -> Conversation:
        properties = ",".join(records.TICKET)
        target = f"{OBJECTS}/tickets/{path(ticket_id)}"
        raw = await self._api.get(target, properties=properties, associations="notes,contacts")
        with self._api.reading():
            joined = raw.get("associations") or {}
            ids = {kind: [str(each["id"]) for each in part["results"]] for kind, part in joined.items()}
            # Ids grow: the greatest are the newest.
            newest = sorted(ids.get("notes", []), key=int, reverse=True)
            is_cut = len(newest) > MOST_NOTES or "paging" in joined.get("notes", {})
        notes, people = await asyncio.gather(
            self._read("notes", newest[:MOST_NOTES], ("hs_note_body", "hs_timestamp")),
            self._read("contacts", ids.get("contacts", [])[:1], ("email",)),
        )
        with self._api.reading():
            requester = (people[0]["properties"]["email"] or "").lower() if people else ""
            said = sorted(map(records.comment, notes), key=lambda each: each.at)
            text = raw["properties"]["content"] or ""
            return Conversation(records.ticket(raw, requester), text, tuple(said), is_cut)

    async def create_ticket(self, new: NewTicket) -> Ticket:
        if known := await self._made(new):
            return known
        people = await self.find_people(Contact(email=new.requester))
        properties = {
            "subject": new.subject,
            "content": new.text,
            "hs_pipeline_stage": STAGES["new"],
            "hs_ticket_priority": PRIORITIES[new.priority],
            KEY: new.key,
        }
        body = {"properties": properties, "associations": [_join(person.reference.id, TO_CONTACT) for person in people]}
        try:
            raw = await self._api.send(Request("POST", f"{OBJECTS}/tickets", body=body))
        except (Conflict, InvalidInput):
            # A key stands in one ticket: a request that was given up may have made it meanwhile.
            if known := await self._made(new):
                return known
            raise
        with self._api.reading():
            return records.ticket(raw, new.requester)

    async def add_comment(self, ticket_id: str, text: str, public: bool, seen: datetime) -> Comment:
        if public:
            raise InvalidInput(
                "Customers do not see HubSpot's notes.",
                "Answer in HubSpot, or comment with public=false.",
            )
        await self._check_unchanged(ticket_id, seen)
        properties = {"hs_note_body": escape(text).replace("\n", "<br>"), "hs_timestamp": _iso(datetime.now(UTC))}
        body = {"properties": properties, "associations": [_join(ticket_id, TO_TICKET)]}
        raw = await self._api.send(Request("POST", f"{OBJECTS}/notes", body=body))
        with self._api.reading():
            return records.comment(raw)

    async def update_ticket(self, ticket_id: str, change: TicketChange, seen: datetime) -> Ticket:
        await self._check_unchanged(ticket_id, seen)
        properties: dict[str, str] = {}
        if change.status:
            properties["hs_pipeline_stage"] = STAGES[change.status]
        if change.priority:
            properties["hs_ticket_priority"] = PRIORITIES[change.priority]
        if change.subject:
            properties["subject"] = change.subject
        request = Request(
            "PATCH", f"{OBJECTS}/tickets/{path(ticket_id)}", body={"properties": properties}, repeatable=True
        )
        raw = await self._api.send(request)
        with self._api.reading():
            return records.ticket(raw)

    async def _made(self, new: NewTicket) -> Ticket | None:
        """The ticket with this key. A search would not see a new one: by a property with unique values it is read."""
        names = ",".join(records.TICKET)
        try:
            raw = await self._api.get(f"{OBJECTS}/tickets/{path(new.key)}", idProperty=KEY, properties=names)
        except NotFound:
            return None
        except InvalidInput:
            hint = "The operator makes it anew in HubSpot, with unique values."
            raise Unavailable(f"HubSpot's ticket property {KEY} has no unique values.", hint) from None
        with self._api.reading():
            return records.ticket(raw, new.requester)

    async def close(self) -> None:
        await self._api.close()

    async def _newest(self, asked: dict[str, Any], limit: int, place: Place) -> Page[Ticket]:
        found, start, size = list[Ticket](), 0, min(max(FIRST_LOOK, limit + 1), SEARCH_PAGE)
        while True:
            body = await self._search("tickets", asked, size, start)
            found += self._tickets(body)
            start += size
            page = cut(found, place, limit, "paging" not in body or start >= MOST)
            if page is not None:
                return page

    async def _check_unchanged(self, ticket_id: str, seen: datetime) -> None:
        """HubSpot has no conditional write: what happens in the moment between is not noticed."""
        if (await self.conversation(ticket_id)).ticket.updated_at != seen:
            raise Conflict("Somebody changed this in HubSpot first.", "Read it again, then repeat the change.")

    async def _by_further_address(self, email: str) -> list[Person]:
        found = await self._search("contacts", {"filterGroups": queries.by_email(email)}, BATCH, 0)
        return [each for each in self._people(found["results"]) if email in each.emails]

    async def _search(self, kind: str, asked: dict[str, Any], limit: int, start: int) -> Any:
        """Searches have a limit of their own, which no header tells."""
        while wait := self._searches.check(""):
            if wait >= remaining(30.0):
                raise RateLimited("HubSpot takes no more searches for now.", retry_after=wait)
            await asyncio.sleep(wait)
        names = list(records.CONTACT if kind == "contacts" else records.TICKET)
        body = {**asked, "properties": names, "limit": limit, "after": str(start)}
        found = await self._api.send(Request("POST", f"{OBJECTS}/{kind}/search", body=body, repeatable=True))
        with self._api.reading():
            self._api.check_page(len(found["results"]), limit, start, found["total"])
        return found

    async def _joined(self, kind: str, to: str, ids: Sequence[str]) -> dict[str, list[str]]:
        """Ids of associated records, by id."""
        target = f"crm/v4/associations/{kind}/{to}/batch/read"
        body = {"inputs": [{"id": number} for number in ids]}
        found = await self._api.send(Request("POST", target, body=body, repeatable=True))
        with self._api.reading():
            joined = {
                str(each["from"]["id"]): [str(other["toObjectId"]) for other in each["to"]] for each in found["results"]
            }
            none = {number for each in found.get("errors", ()) for number in each["context"]["fromObjectId"]}
            self._api.check_page(len(joined.keys() | none), len(ids), 0, len(ids))
            return joined

    async def _read(self, kind: str, ids: Iterable[str], properties: Iterable[str]) -> list[Any]:
        numbers = list(ids)
        parts = [numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH)]
        found = await asyncio.gather(*[self._read_batch(kind, part, properties) for part in parts])
        return [raw for batch in found for raw in batch]

    async def _read_batch(self, kind: str, numbers: Sequence[str], properties: Iterable[str]) -> list[Any]:
        body = {"inputs": [{"id": number} for number in numbers], "properties": list(properties)}
        found = await self._api.send(Request("POST", f"{OBJECTS}/{kind}/batch/read", body=body, repeatable=True))
        with self._api.reading():
            missing = sum(len(each.get("context", {}).get("ids", [])) for each in found.get("errors", ()))
            self._api.check_page(len(found["results"]) + missing, len(numbers), 0, len(numbers))
            return list(found["results"])

    def _people(self, rows: Sequence[Any]) -> list[Person]:
        with self._api.reading():
            return [records.person(raw, self._region) for raw in rows]

    def _tickets(self, body: Any) -> list[Ticket]:
        with self._api.reading():
            return [records.ticket(raw) for raw in body["results"]]


def _join(number: str, code: int) -> dict[str, Any]:
    return {
        "to": {"id": number},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": code}],
    }


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
