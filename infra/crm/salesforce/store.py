"""Records of the org, from the seed, with an undo log for composite requests."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from infra.crm.clock import salesforce_time
from infra.crm.ids import salesforce_id, with_check
from infra.crm.salesforce.schema import BY_NAME, OBJECTS, SObject
from infra.crm.seed.records import Listing, Ticket, World
from infra.crm.text import digits, folded

Record = dict[str, Any]
STATUSES = {"new": "New", "open": "Working", "pending": "On Hold", "solved": "Closed", "closed": "Closed"}
PRIORITIES = {"low": "Low", "normal": "Medium", "high": "High", "urgent": "High"}


class SalesforceStore:
    """Records by object name and id."""

    def __init__(self, world: World) -> None:
        self.records: dict[str, dict[str, Record]] = {kind.name: {} for kind in OBJECTS}
        self.deleted: set[str] = set()
        self._undo: list[tuple[str, str, Record | None]] | None = None
        self._texts: dict[str, tuple[str, str]] = {}
        self._numbers = {kind.name: itertools.count(1_000_000) for kind in OBJECTS}
        self._case_numbers = itertools.count(1026)
        self._comments = itertools.count(1)
        for listing in world.listings:
            if listing.platform == "salesforce":
                self._contact(listing)
        for ticket in world.tickets:
            if ticket.platform == "salesforce":
                self._case(ticket)

    def find(self, kind: SObject, key: str) -> Record | None:
        """By an id of 15 or 18 characters."""
        return self.records[kind.name].get(with_check(key) if len(key) == 15 else key)

    def put(self, kind: SObject, key: str, record: Record | None) -> None:
        """Write a whole record, or with None take it away."""
        if self._undo is not None:
            self._undo.append((kind.name, key, self.records[kind.name].get(key)))
        if record is None:
            self.records[kind.name].pop(key, None)
            self.deleted.add(key)
        else:
            self.records[kind.name][key] = record

    def new_id(self, kind: SObject) -> str:
        """An id that was not used."""
        return salesforce_id(kind.prefix, next(self._numbers[kind.name]))

    def next_case_number(self) -> str:
        """Eight digits."""
        return f"{next(self._case_numbers):08d}"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: an exception takes every write back."""
        self._undo, log = [], []
        log = self._undo
        try:
            yield
        except BaseException:
            self._undo = None
            for name, key, record in reversed(log):
                if record is None:
                    self.records[name].pop(key, None)
                else:
                    self.records[name][key] = record
                    self.deleted.discard(key)
            raise
        finally:
            self._undo = None

    def text(self, kind: SObject, record: Record, names: tuple[str, ...] | None = None) -> str:
        """The folded text of a record's fields for searching; telephone numbers by their digits, too."""
        if names is None:
            kept = self._texts.get(record["Id"])
            if kept and kept[0] == record["SystemModstamp"]:
                return kept[1]
        searched = names or [
            f.name for f in kind.fields.values() if f.type not in ("id", "reference", "datetime", "boolean")
        ]
        parts = [str(record.get(name) or "") for name in searched]
        parts += [digits(str(record.get(name) or "")) for name in searched if kind.fields[name.lower()].type == "phone"]
        text = folded(" \n ".join(parts))
        if names is None:
            self._texts[record["Id"]] = (record["SystemModstamp"], text)
        return text

    def _add(self, name: str, key: str, created: datetime, updated: datetime, **values: Any) -> None:
        kind, modified = BY_NAME[name.lower()], salesforce_time(updated)
        empty: Record = {field.name: None for field in kind.fields.values()}
        stamps = {"CreatedDate": salesforce_time(created), "LastModifiedDate": modified, "SystemModstamp": modified}
        self.records[name][key] = {**empty, "Id": key, "IsDeleted": False, **stamps, **values}

    def _contact(self, listing: Listing) -> None:
        company = listing.company
        account, address = salesforce_id("001", company.number + 1), listing.address
        if account not in self.records["Account"]:
            self._add(
                "Account", account, listing.created, listing.created,
                Name=listing.company_name, Website=f"https://www.{company.domain}", Industry=company.industry.title(),
                BillingCity=company.city, BillingCountry=company.country, External_Id__c=company.key,
            )  # fmt: skip
        self._add(
            "Contact", listing.record_id, listing.created, listing.updated,
            AccountId=account, FirstName=listing.first, LastName=listing.last,
            Name=f"{listing.first} {listing.last}", Email=listing.email or None, Phone=listing.phone or None,
            MobilePhone=listing.mobile or None, Title=listing.title or None, MailingStreet=address.street,
            MailingCity=address.city, MailingPostalCode=address.postcode, MailingCountry=address.country,
        )  # fmt: skip

    def _case(self, ticket: Ticket) -> None:
        closed = ticket.status in ("solved", "closed")
        self._add(
            "Case", ticket.record_id, ticket.created, ticket.updated,
            CaseNumber=self.next_case_number(), AccountId=salesforce_id("001", ticket.listing.company.number + 1),
            ContactId=ticket.listing.record_id, Subject=ticket.subject, Description=ticket.text,
            Status="Escalated" if ticket.priority == "urgent" and not closed else STATUSES[ticket.status],
            Priority=PRIORITIES[ticket.priority], Origin="Email", Reason=ticket.problem.replace("_", " ").capitalize(),
            SuppliedEmail=ticket.listing.email or None, IsClosed=closed,
            ClosedDate=salesforce_time(ticket.updated) if closed else None, Product__c=ticket.sku,
            Serial_Number__c=ticket.serial, External_Id__c=f"zendesk:{ticket.mirror}" if ticket.mirror else None,
        )  # fmt: skip
        for comment in ticket.comments:
            author = comment.agent or f"{ticket.listing.first} {ticket.listing.last}"
            self._add(
                "CaseComment", salesforce_id("00a", next(self._comments)), comment.at, comment.at,
                ParentId=ticket.record_id, CommentBody=comment.text, IsPublished=comment.public,
                CreatedByName__c=author,
            )  # fmt: skip
