"""Zendesk Support, Ticketing API v2."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from common.errors import NotFound
from common.http.client import Request, ResilientClient
from common.http.guard import path
from support_hub.adapters import zendesk_records as records
from support_hub.adapters.platform import Api, moment
from support_hub.adapters.zendesk_query import people_query, ticket_query, timestamp, words
from support_hub.phones import spellings
from support_hub.ports import START, Contact, NewTicket, Page, Place, TicketChange, TicketQuery
from support_hub.records import Comment, Conversation, Person, Ticket

PAGE = 100
MOST_RESULTS = 1000
"""A search of Zendesk shows no more."""
MOST_COMMENTS = 500


class Zendesk:
    """See ports.Crm. Scopes: read, write of tickets and users."""

    name = records.NAME
    title = "Zendesk"

    def __init__(self, client: ResilientClient, region: str) -> None:
        self._api = Api(client, self.title)
        self._base = client.upstream.url.rstrip("/")
        self._region = region

    async def find_people(self, contact: Contact) -> list[Person]:
        if contact.reference is not None:
            return await self._people(await self._user(contact.reference.id))
        if contact.email:
            query = people_query([("email", contact.email)])
        else:
            query = people_query([("phone", spelling) for spelling in spellings(contact.phone)])
        body = await self._api.get("api/v2/users/search", query=query, per_page=str(PAGE))
        with self._api.reading():
            self._api.check_page(len(body["users"]), PAGE, 0, body["count"])
        found = await self._people(body["users"])
        # The search finds parts of values, too.
        return [each for each in found if contact.email in each.emails or contact.phone in each.phones]

    async def search_people(self, text: str, limit: int, after: str | None = None) -> Page[Person]:
        page = int(after or "1")
        body = await self._api.get(
            "api/v2/users/search", query=people_query([], text), per_page=str(limit), page=str(page)
        )
        with self._api.reading():
            self._api.check_page(len(body["users"]), limit, (page - 1) * limit, body["count"])
            following = str(page + 1) if body["next_page"] and page * limit < MOST_RESULTS else None
        return Page(await self._people(body["users"]), following, body["count"])

    async def tickets_of(self, people: Sequence[Person], limit: int) -> list[Ticket]:
        # By offset, not by cursor: only then an answer has a total, by which a part of a page is told from a whole one.
        size = min(limit, PAGE)
        params = {"sort_by": "updated_at", "sort_order": "desc", "per_page": str(size)}
        requests = [
            Request("GET", f"api/v2/users/{path(person.reference.id)}/tickets/requested", params) for person in people
        ]
        bodies = await asyncio.gather(*map(self._api.send, requests))
        with self._api.reading():
            for body in bodies:
                self._api.check_page(len(body["tickets"]), size, 0, body["count"])
            addresses = {int(each.reference.id): each.fields.get("email", "").lower() for each in people}
            found = [self._ticket(raw, addresses) for body in bodies for raw in body["tickets"]]
        return sorted(found, key=lambda each: each.updated_at, reverse=True)[:limit]

    async def search_tickets(self, query: TicketQuery, limit: int, place: Place = START) -> Page[Ticket]:
        if query.text.strip() and not words(query.text):
            return Page([])
        order = {} if query.by_relevance else {"sort_by": "updated_at", "sort_order": "desc"}
        terms = ticket_query(query, None if query.by_relevance else place.updated_at)
        number, found, more = place.skip // PAGE + 1, list[Mapping[str, Any]](), True
        while more and not _is_enough(found, limit, query):
            body = await self._api.get("api/v2/search", query=terms, per_page=str(PAGE), page=str(number), **order)
            with self._api.reading():
                self._api.check_page(len(body["results"]), PAGE, (number - 1) * PAGE, body["count"])
                found += self._behind(body["results"], query, place, number)
                more = bool(body["next_page"]) and number * PAGE < MOST_RESULTS
            number += 1
        if not query.by_relevance:
            found.sort(key=_key, reverse=True)
        chosen = found[:limit]
        users = await self._users(raw["requester_id"] for raw in chosen)
        with self._api.reading():
            tickets = [self._ticket(raw, {n: (u["email"] or "").lower() for n, u in users.items()}) for raw in chosen]
        return Page(tickets, "more" if len(found) > limit else None, body["count"])

    async def conversation(self, ticket_id: str) -> Conversation:
        where = f"api/v2/tickets/{path(ticket_id)}"
        body, (comments, is_cut) = await asyncio.gather(self._api.get(where), self._comments(where))
        with self._api.reading():
            raw = body["ticket"]
            users = await self._users({raw["requester_id"], *(each["author_id"] for each in comments)})
            names = {number: user["name"] for number, user in users.items()}
            addresses = {number: (user["email"] or "").lower() for number, user in users.items()}
            # The first comment is the description.
            said = tuple(records.comment(each, names) for each in (comments if is_cut else comments[1:]))
            return Conversation(self._ticket(raw, addresses), raw["description"] or "", said, is_cut)

    async def create_ticket(self, new: NewTicket) -> Ticket:
        body = {
            "subject": new.subject,
            "comment": {"body": new.text, "public": True},
            "priority": new.priority,
            "requester": {"email": new.requester, "name": new.requester.split("@")[0]},
        }
        made = await self._api.send(
            Request(
                "POST", "api/v2/tickets", body={"ticket": body}, headers={"Idempotency-Key": new.key}, repeatable=True
            )
        )
        with self._api.reading():
            return self._ticket(made["ticket"], {made["ticket"]["requester_id"]: new.requester})

    async def add_comment(self, ticket_id: str, text: str, public: bool, seen: datetime) -> Comment:
        # With `seen`, a repetition of a request that went through is refused, not said twice.
        made = await self._write(ticket_id, {"comment": {"body": text, "public": public}}, seen)
        with self._api.reading():
            return Comment(moment(made["ticket"]["updated_at"]), "", text, public)

    async def update_ticket(self, ticket_id: str, change: TicketChange, seen: datetime) -> Ticket:
        wanted: dict[str, Any] = {"status": change.status, "priority": change.priority, "subject": change.subject}
        made = await self._write(ticket_id, {name: value for name, value in wanted.items() if value}, seen)
        with self._api.reading_back(), self._api.reading():
            raw = made["ticket"]
            users = await self._users([raw["requester_id"]])
            return self._ticket(raw, {number: (user["email"] or "").lower() for number, user in users.items()})

    async def close(self) -> None:
        await self._api.close()

    async def _write(self, ticket_id: str, fields: dict[str, Any], seen: datetime) -> Any:
        """A safe update. Raises Conflict if the ticket was changed after `seen`."""
        body = {"ticket": {**fields, "safe_update": True, "updated_stamp": timestamp(seen)}}
        return await self._api.send(Request("PUT", f"api/v2/tickets/{path(ticket_id)}", body=body))

    def _behind(
        self, results: Sequence[Mapping[str, Any]], query: TicketQuery, place: Place, number: int
    ) -> list[Mapping[str, Any]]:
        """Those of a page that come behind the place."""
        if query.by_relevance:
            return list(results[max(0, place.skip - (number - 1) * PAGE) :])
        return [raw for raw in results if place.comes_before(self._ticket(raw, {}))]

    def _ticket(self, raw: Mapping[str, Any], addresses: Mapping[int, str]) -> Ticket:
        return records.ticket(raw, addresses, self._base)

    async def _user(self, number: str) -> list[Mapping[str, Any]]:
        try:
            body = await self._api.get(f"api/v2/users/{path(number)}")
        except NotFound:
            return []
        with self._api.reading():
            return [body["user"]] if body["user"]["role"] == "end-user" else []

    async def _people(self, users: Sequence[Mapping[str, Any]]) -> list[Person]:
        with self._api.reading():
            numbers = {user["organization_id"] for user in users} - {None}
            companies = {n: each["name"] for n, each in (await self._many("organizations", numbers)).items()}
            return [records.person(user, companies, self._base, self._region) for user in users]

    async def _users(self, numbers: Iterable[int]) -> dict[int, Mapping[str, Any]]:
        return await self._many("users", numbers)

    async def _many(self, kind: str, numbers: Iterable[int]) -> dict[int, Mapping[str, Any]]:
        """Records by id, a hundred a request."""
        wanted = sorted(set(numbers))
        if not wanted:
            return {}
        parts = [wanted[at : at + PAGE] for at in range(0, len(wanted), PAGE)]
        asked = [self._api.get(f"api/v2/{kind}/show_many", ids=",".join(map(str, part))) for part in parts]
        bodies = await asyncio.gather(*asked)
        with self._api.reading():
            for body in bodies:
                self._api.check_page(len(body[kind]), PAGE, 0, body["count"])
            return {raw["id"]: raw for body in bodies for raw in body[kind]}

    async def _comments(self, where: str) -> tuple[list[Mapping[str, Any]], bool]:
        """The newest ones, oldest first, and whether there are more."""
        found, number, more = dict[int, Mapping[str, Any]](), 1, True
        order = {"sort_order": "desc", "per_page": str(PAGE)}
        while more and len(found) < MOST_COMMENTS:
            body = await self._api.get(f"{where}/comments", page=str(number), **order)
            with self._api.reading():
                self._api.check_page(len(body["comments"]), PAGE, (number - 1) * PAGE, body["count"])
                # What is said meanwhile pushes others to the next page, where they come again.
                found = {each["id"]: each for each in body["comments"]} | found
                more = bool(body["next_page"])
            number += 1
        return sorted(found.values(), key=lambda each: each["id"]), more


def _key(raw: Mapping[str, Any]) -> tuple[str, str]:
    return raw["updated_at"], str(raw["id"])


def _is_enough(found: Sequence[Mapping[str, Any]], limit: int, query: TicketQuery) -> bool:
    """One more than asked for; and all of the same second, whose order is not Zendesk's to choose."""
    if len(found) <= limit:
        return False
    return query.by_relevance or bool(found[-1]["updated_at"] < found[limit]["updated_at"])
