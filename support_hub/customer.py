"""Everything about one customer, from all sources at once, with what arrived in time (patterns 2 and 5)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import time
from typing import Protocol

from common.errors import NotFound
from support_hub.facts import Fact, Preference, facts_of
from support_hub.fanout import Arrived, Read, ask_all
from support_hub.ports import Contact
from support_hub.records import Order, Person, Profile, Reference, Ticket
from support_hub.source_health import SourceHealth

LINKS = "merges"
"""Stands among the sources only if it did not answer."""
LINK_SECONDS = 1.0
"""For the look-up of merges: an answer must not wait for it as long as for a source."""
Question = Callable[[], Awaitable[Read["View"]]]


@dataclass(frozen=True)
class View:
    """What one source knows about a customer."""

    people: tuple[Person, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    orders: tuple[Order, ...] = ()
    profile: Profile | None = None
    truncated: bool = False
    """There may be older tickets or orders."""

    @property
    def is_empty(self) -> bool:
        return self == View()


@dataclass(frozen=True)
class Customer:
    """The whole record. `sources` says of each source what came of it."""

    facts: tuple[Fact, ...]
    people: tuple[Person, ...]
    tickets: tuple[Ticket, ...]
    orders: tuple[Order, ...]
    profile: Profile | None
    sources: Mapping[str, Arrived[View]]

    @property
    def complete(self) -> bool:
        """Whether every source answered with all that it has."""
        return all(each.answered and not (each.value and each.value.truncated) for each in self.sources.values())


class Source(Protocol):
    """One source, asked about a contact."""

    name: str

    async def view(self, contact: Contact) -> Read[View]:
        """What it knows; an empty view if it knows nothing. Raises what `common.errors` has."""


class Links(Protocol):
    """Records that people have merged, see merges.py."""

    async def linked(self, references: Iterable[Reference]) -> Read[list[Reference]]:
        """The other records of the same customer. Raises what `common.errors` has."""


class Customers:
    """Puts the record together."""

    def __init__(
        self, sources: Sequence[Source], preference: Preference, seconds: float, links: Links | None = None
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self._preference = preference
        self._seconds = seconds
        self._links = links
        self.health = SourceHealth(self._sources)

    async def find(self, contact: Contact) -> Customer:
        """The record. Raises NotFound if every source answered, and none of them knows the customer."""
        customer = await self.get(contact)
        if all(arrived.state == "not_found" for arrived in customer.sources.values()):
            raise NotFound("No source knows this customer.", "search_customers finds people by words of their name.")
        return customer

    async def get(self, contact: Contact) -> Customer:
        """The record; each source has `seconds` for each of at most two rounds, and of two more for merged records.

        The second round asks the sources that knew nothing again, by the addresses that the others brought.
        """
        arrived = await self._ask(self._sources, [contact])
        known = _addresses(arrived)
        again = {name: self._sources[name] for name, answer in arrived.items() if answer.state == "not_found"}
        if further := known - {contact.email}:
            arrived = _with(arrived, await self._ask(again, _contacts(further)))
        return self._put_together(await self._with_merged(arrived, {contact.email}))

    async def _with_merged(self, arrived: dict[str, Arrived[View]], asked: set[str]) -> dict[str, Arrived[View]]:
        """With the records that people have merged with these, and with what all sources know by their addresses."""
        references = {person.reference for view in _views(arrived) for person in view.people}
        if not self._links or not references:
            return arrived
        linked = (await ask_all({LINKS: partial(self._links.linked, references)}, LINK_SECONDS))[LINKS]
        if linked.value is None:
            return {**arrived, LINKS: Arrived(linked.state, linked.seconds, note="Merged records may be missing.")}
        wanted: dict[str, list[Contact]] = {}
        for each in linked.value:
            if each.source in self._sources:
                wanted.setdefault(each.source, []).append(Contact(reference=each))
        if not wanted:
            return arrived
        known = _addresses(arrived) | asked
        rounds = [self._ask({name: self._sources[name]}, contacts) for name, contacts in wanted.items()]
        for more in await asyncio.gather(*rounds):
            arrived = _with(arrived, more)
        if new := _addresses(arrived) - known:
            arrived = _with(arrived, await self._ask(self._sources, _contacts(new)))
        return arrived

    async def _ask(self, sources: Mapping[str, Source], contacts: Sequence[Contact]) -> dict[str, Arrived[View]]:
        started = time()
        answers = await ask_all({name: _question(source, contacts) for name, source in sources.items()}, self._seconds)
        found = {name: _without_nothing(answer) for name, answer in answers.items()}
        self.health.note(found, started)
        return found

    def _put_together(self, arrived: Mapping[str, Arrived[View]]) -> Customer:
        views = list(_views(arrived))
        people = tuple(person for view in views for person in view.people)
        tickets = [ticket for view in views for ticket in view.tickets]
        orders = [order for view in views for order in view.orders]
        return Customer(
            facts=tuple(facts_of(people, self._preference)),
            people=people,
            tickets=tuple(sorted(tickets, key=lambda each: (each.updated_at, str(each.reference)), reverse=True)),
            orders=tuple(sorted(orders, key=lambda each: (each.placed_at, each.number), reverse=True)),
            profile=next((view.profile for view in views if view.profile), None),
            sources={name: _with_note(answer) for name, answer in arrived.items()},
        )


def addresses(people: Iterable[Iterable[Person]]) -> set[str]:
    """All e-mail addresses of these records."""
    return {email for some in people for person in some for email in person.emails}


def _question(source: Source, contacts: Sequence[Contact]) -> Question:
    async def ask() -> Read[View]:
        reads = [await source.view(contact) for contact in contacts]
        return Read(_joined([read.value for read in reads]), min(r.at for r in reads), any(r.is_stale for r in reads))

    return ask


def _joined(views: Sequence[View]) -> View:
    return View(
        tuple({person.reference: person for view in views for person in view.people}.values()),
        tuple({ticket.reference: ticket for view in views for ticket in view.tickets}.values()),
        tuple({order.number: order for view in views for order in view.orders}.values()),
        next((view.profile for view in views if view.profile), None),
        any(view.truncated for view in views),
    )


def _addresses(arrived: Mapping[str, Arrived[View]]) -> set[str]:
    return addresses(view.people for view in _views(arrived))


def _contacts(emails: Iterable[str]) -> list[Contact]:
    return [Contact(email=email) for email in sorted(emails)]


def _with(arrived: Mapping[str, Arrived[View]], more: Mapping[str, Arrived[View]]) -> dict[str, Arrived[View]]:
    return {**arrived, **{name: _both(arrived[name], answer) for name, answer in more.items()}}


def _both(first: Arrived[View], more: Arrived[View]) -> Arrived[View]:
    """One source's two answers; what did not arrive is told, and what did is kept."""
    value = _joined([view for view in (first.value, more.value) if view is not None])
    worse = next((each for each in (first, more) if each.state not in ("ok", "stale", "not_found")), None)
    stale = next((each for each in (first, more) if each.state == "stale"), None)
    told = worse or stale or (more if first.value is None else first)
    return replace(told, value=None if value.is_empty else value)


def _views(arrived: Mapping[str, Arrived[View]]) -> Iterable[View]:
    return (answer.value for answer in arrived.values() if answer.value is not None)


def _without_nothing(answer: Arrived[View]) -> Arrived[View]:
    if answer.value is not None and answer.value.is_empty:
        return replace(answer, state="not_found", value=None, note="It knows nothing of this customer.")
    return answer


def _with_note(answer: Arrived[View]) -> Arrived[View]:
    if answer.value is not None and answer.value.truncated and not answer.note:
        return replace(answer, note="It has more than is shown: these are the newest.")
    return answer
