"""Users, organizations, tickets and comments, from the seed."""

from datetime import datetime
from typing import Any

from infra.crm.clock import zendesk_time
from infra.crm.seed.records import Listing, Ticket, World
from infra.crm.seed.spelling import ZENDESK_FIRST

Record = dict[str, Any]
FIRST_AGENT = 18_300_000_001
FIRST_COMMENT = 41_000_000_001
API_AGENT = FIRST_AGENT


class ZendeskStore:
    """Records by id. `comments` are kept by ticket, oldest first."""

    def __init__(self, world: World) -> None:
        self.users: dict[int, Record] = {}
        self.organizations: dict[int, Record] = {}
        self.tickets: dict[int, Record] = {}
        self.comments: dict[int, list[Record]] = {}
        self._next_comment = FIRST_COMMENT
        listings = [listing for listing in world.listings if listing.platform == "zendesk"]
        tickets = [ticket for ticket in world.tickets if ticket.platform == "zendesk"]
        for listing in listings:
            self._organization(listing)
        names = ["API", *dict.fromkeys(comment.agent for t in tickets for comment in t.comments if comment.agent)]
        self._agents = {name: FIRST_AGENT + place for place, name in enumerate(names)}
        for name, number in self._agents.items():
            email = f"{name.lower()}@fernhill.example"
            self.users[number] = _user(number, name, email, "agent", None, listings[0].created)
        for listing in listings:
            self._user(listing)
        for ticket in tickets:
            self._ticket(ticket)

    def add_comment(self, ticket: int, author: int, text: str, public: bool, at: datetime) -> Record:
        """Write one below a ticket."""
        made = {
            "id": self._next_comment,
            "type": "Comment",
            "author_id": author,
            "body": text,
            "html_body": f'<div class="zd-comment" dir="auto">{_html(text)}</div>',
            "plain_body": text,
            "public": public,
            "attachments": [],
            "audit_id": self._next_comment + 500_000,
            "via": {"channel": "email" if author >= ZENDESK_FIRST["users"] else "web", "source": {"rel": None}},
            "created_at": zendesk_time(at),
            "metadata": {"system": {}, "custom": {}},
        }
        self._next_comment += 1
        self.comments.setdefault(ticket, []).append(made)
        return made

    def _organization(self, listing: Listing) -> None:
        number = ZENDESK_FIRST["organizations"] + listing.company.number
        self.organizations[number] = {
            "id": number,
            "name": listing.company_name,
            "external_id": listing.company.key,
            "domain_names": [listing.company.domain],
            "tags": [listing.company.industry.replace(" ", "_")],
            "created_at": zendesk_time(listing.created),
            "updated_at": zendesk_time(listing.created),
        }

    def _user(self, listing: Listing) -> None:
        number = int(listing.record_id)
        name = f"{listing.first} {listing.last}".strip()
        organization = ZENDESK_FIRST["organizations"] + listing.company.number
        self.users[number] = {
            **_user(number, name, listing.email or None, "end-user", organization, listing.created),
            "phone": listing.phone or listing.mobile or None,
            "locale": {"DE": "de", "FR": "fr", "NL": "nl"}.get(listing.address.country, "en-gb"),
            "updated_at": zendesk_time(listing.updated),
            "user_fields": {"address": f"{listing.address.street}, {listing.address.postcode} {listing.address.city}"},
        }

    def _ticket(self, ticket: Ticket) -> None:
        number, requester = int(ticket.record_id), int(ticket.listing.record_id)
        self.add_comment(number, requester, ticket.text, True, ticket.created)
        for comment in ticket.comments:
            author = self._agents.get(comment.agent, requester)
            self.add_comment(number, author, comment.text, comment.public, comment.at)
        self.tickets[number] = {
            **new_ticket(number, ticket.subject, ticket.text, requester, ticket.created),
            "external_id": ticket.mirror,
            "status": ticket.status,
            "priority": ticket.priority,
            "assignee_id": self._agents.get(ticket.agent),
            "organization_id": ZENDESK_FIRST["organizations"] + ticket.listing.company.number,
            "tags": sorted({ticket.problem, ticket.sku.lower()}),
            "custom_fields": [{"id": 360001, "value": ticket.sku}, {"id": 360002, "value": ticket.serial}],
            "updated_at": zendesk_time(ticket.updated),
            "generated_timestamp": int(ticket.updated.timestamp()),
        }


def new_ticket(number: int, subject: str, text: str, requester: int, at: datetime) -> Record:
    """A ticket as it is right after it was created."""
    return {
        "id": number,
        "external_id": None,
        "type": None,
        "subject": subject,
        "raw_subject": subject,
        "description": text,
        "status": "new",
        "priority": None,
        "recipient": None,
        "requester_id": requester,
        "submitter_id": requester,
        "assignee_id": None,
        "organization_id": None,
        "group_id": None,
        "collaborator_ids": [],
        "follower_ids": [],
        "tags": [],
        "custom_fields": [],
        "has_incidents": False,
        "is_public": True,
        "via": {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}},
        "created_at": zendesk_time(at),
        "updated_at": zendesk_time(at),
        "generated_timestamp": int(at.timestamp()),
    }


def _user(number: int, name: str, email: str | None, role: str, organization: int | None, at: datetime) -> Record:
    return {
        "id": number,
        "name": name,
        "email": email,
        "role": role,
        "external_id": None,
        "organization_id": organization,
        "phone": None,
        "locale": "en-gb",
        "time_zone": "London",
        "active": True,
        "verified": True,
        "suspended": False,
        "tags": [],
        "notes": "",
        "details": "",
        "user_fields": {},
        "created_at": zendesk_time(at),
        "updated_at": zendesk_time(at),
    }


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")
