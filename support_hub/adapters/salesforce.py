"""Salesforce, REST API: SOQL for conditions, SOSL for words, sObject rows for changes."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from common.errors import AppError, Conflict, NotFound, RateLimited
from common.http.client import Answer, Request, ResilientClient
from common.http.guard import path
from support_hub.adapters import salesforce_query as soql
from support_hub.adapters import salesforce_records as records
from support_hub.adapters.newest import FIRST_LOOK, MOST, cut
from support_hub.adapters.platform import Api
from support_hub.adapters.salesforce_connection import is_used_up
from support_hub.phones import digit_spellings
from support_hub.ports import START, Contact, NewTicket, Page, Place, TicketChange, TicketQuery
from support_hub.records import Comment, Conversation, Person, Ticket

VERSION = "v62.0"
DATA = f"services/data/{VERSION}"
CONTACT = "Id, Name, Email, Phone, MobilePhone, Title, MailingCity, MailingCountry, Account.Name, LastModifiedDate"
CASE = (
    "Id, CaseNumber, Subject, Description, Status, IsClosed, Priority, CreatedDate, LastModifiedDate, SuppliedEmail, "
    "Contact.Email"
)
COMMENT = "CommentBody, IsPublished, CreatedDate"
NEWEST = "LastModifiedDate DESC"
MOST_PEOPLE = 200


class SalesforceApi(Api):
    """With the one status that Salesforce uses for two things."""

    def refusal(self, answer: Answer) -> AppError:
        if is_used_up(answer):
            return RateLimited("Salesforce takes no more requests for today.")
        return super().refusal(answer)


class Salesforce:
    """See ports.Crm. Rights: read Contact, Account; read, create, edit Case and CaseComment."""

    name = records.NAME
    title = "Salesforce"

    def __init__(self, client: ResilientClient, region: str, external_id: str) -> None:
        self._api = SalesforceApi(client, self.title)
        self._base = client.upstream.url.rstrip("/")
        self._region = region
        self._external = external_id
        """Custom field of Case, marked as external id: it makes creation safe to repeat, and names mirrored tickets."""
        self._case = f"{CASE}, {external_id}"

    async def find_people(self, contact: Contact) -> list[Person]:
        if contact.phone:
            either = " OR ".join(digit_spellings(contact.phone))
            text = f"FIND {{{either}}} IN PHONE FIELDS RETURNING Contact({CONTACT} LIMIT {MOST_PEOPLE})"
            return [each for each in self._people(await self._search(text)) if contact.phone in each.phones]
        if contact.reference is None:
            where = f"Email = {soql.literal(contact.email)}"
        elif soql.is_id(contact.reference.id):
            where = f"Id = {soql.literal(contact.reference.id)}"
        else:
            return []
        return self._people(await self._query(soql.select("Contact", CONTACT, where, limit=MOST_PEOPLE)))

    async def search_people(self, text: str, limit: int, after: str | None = None) -> Page[Person]:
        start, words = int(after or "0"), soql.find(text)
        if words is None:
            return Page([])
        most = start + limit + 1
        returning = f"Contact({CONTACT} ORDER BY Name, Id LIMIT {most})"
        found = self._people(await self._search(f"FIND {words} IN ALL FIELDS RETURNING {returning}"))
        more = str(start + limit) if len(found) > start + limit else None
        return Page(found[start : start + limit], more)

    async def tickets_of(self, people: Sequence[Person], limit: int) -> list[Ticket]:
        ids = soql.listed(person.reference.id for person in people)
        return self._tickets(await self._query(soql.select("Case", self._case, f"ContactId IN {ids}", NEWEST, limit)))

    async def search_tickets(self, query: TicketQuery, limit: int, place: Place = START) -> Page[Ticket]:
        words = soql.find(query.text)
        if words is None and query.text.strip():
            return Page([])
        if query.by_relevance and words:
            found = await self._cases(query, words, place.skip + limit + 1, None)
            more = "more" if len(found) > place.skip + limit else None
            return Page(found[place.skip : place.skip + limit], more)
        size = max(FIRST_LOOK, limit + 1)
        while True:
            found = await self._cases(query, words, size, place.updated_at)
            page = cut(found, place, limit, len(found) < size or size >= MOST)
            if page is not None:
                return page
            size *= 2

    async def conversation(self, ticket_id: str) -> Conversation:
        where = soql.literal(self._checked(ticket_id))
        cases, said = await asyncio.gather(
            self._query(soql.select("Case", self._case, f"Id = {where}")),
            self._query(soql.select("CaseComment", COMMENT, f"ParentId = {where}", "CreatedDate")),
        )
        if not cases:
            raise NotFound("Salesforce has no such case.")
        with self._api.reading():
            every = tuple(records.comment(raw) for raw in said)
            return Conversation(self._ticket(cases[0]), cases[0]["Description"] or "", every)

    async def create_ticket(self, new: NewTicket) -> Ticket:
        people = await self.find_people(Contact(email=new.requester))
        body = {
            "Subject": new.subject,
            "Description": new.text,
            "Priority": soql.PRIORITIES[new.priority],
            "SuppliedEmail": new.requester,
            **({"ContactId": people[0].reference.id} if people else {}),
        }
        # An upsert by external id: the second of two makes nothing new.
        target = f"{DATA}/sobjects/Case/{path(self._external, f'hub-{new.key}')}"
        made = await self._api.send(Request("PATCH", target, body=body, repeatable=True))
        with self._api.reading():
            number = made["id"]
        with self._api.reading_back():
            return (await self.conversation(number)).ticket

    async def add_comment(self, ticket_id: str, text: str, public: bool, seen: datetime) -> Comment:
        await self._check_unchanged(ticket_id, seen)
        body = {"ParentId": ticket_id, "CommentBody": text, "IsPublished": public}
        await self._api.send(Request("POST", f"{DATA}/sobjects/CaseComment", body=body))
        return Comment(datetime.now(UTC), "", text, public)

    async def update_ticket(self, ticket_id: str, change: TicketChange, seen: datetime) -> Ticket:
        await self._check_unchanged(ticket_id, seen)
        body: dict[str, str] = {}
        if change.status:
            body["Status"] = STATUSES[change.status]
        if change.priority:
            body["Priority"] = soql.PRIORITIES[change.priority]
        if change.subject:
            body["Subject"] = change.subject
        await self._api.send(Request("PATCH", f"{DATA}/sobjects/Case/{path(ticket_id)}", body=body, repeatable=True))
        with self._api.reading_back():
            return (await self.conversation(ticket_id)).ticket

    async def close(self) -> None:
        await self._api.close()

    async def _check_unchanged(self, ticket_id: str, seen: datetime) -> None:
        """Salesforce has no conditional write for this: what happens in the moment between is not noticed."""
        if (await self.conversation(ticket_id)).ticket.updated_at != seen:
            raise Conflict("Somebody changed this in Salesforce first.", "Read it again, then repeat the change.")

    def _checked(self, ticket_id: str) -> str:
        if not soql.is_id(ticket_id):
            raise NotFound("Salesforce has no such case.")
        return ticket_id

    async def _cases(self, query: TicketQuery, words: str | None, size: int, until: datetime | None) -> list[Ticket]:
        names = {name for status in query.statuses for name in records.NAMES[status]}
        where = soql.condition(query, names, until)
        if words is None:
            return self._tickets(await self._query(soql.select("Case", self._case, where, NEWEST, size)))
        order = "" if query.by_relevance else f" ORDER BY {NEWEST}"
        returning = f"Case({self._case}{where and f' WHERE {where}'}{order} LIMIT {size})"
        return self._tickets(await self._search(f"FIND {words} IN ALL FIELDS RETURNING {returning}"))

    async def _query(self, text: str) -> list[Any]:
        """All records, over as many batches as it takes."""
        body = await self._api.get(f"{DATA}/query", q=text)
        with self._api.reading():
            found = list(body["records"])
            while not body["done"]:
                # The link is a path of the same host; the client refuses any other.
                body = await self._api.get(body["nextRecordsUrl"])
                found += body["records"]
            if len(found) != body["totalSize"]:
                raise self._api.not_as_documented()
        return found

    async def _search(self, text: str) -> list[Any]:
        body = await self._api.get(f"{DATA}/search", q=text)
        with self._api.reading():
            return list(body["searchRecords"])

    def _people(self, rows: Sequence[Any]) -> list[Person]:
        with self._api.reading():
            return [records.person(raw, self._base, self._region) for raw in rows]

    def _tickets(self, rows: Sequence[Any]) -> list[Ticket]:
        with self._api.reading():
            return [self._ticket(raw) for raw in rows]

    def _ticket(self, raw: Any) -> Ticket:
        return records.ticket(raw, self._base, self._external)


STATUSES = {"new": "New", "open": "Working", "pending": "On Hold", "solved": "Closed", "closed": "Closed"}
