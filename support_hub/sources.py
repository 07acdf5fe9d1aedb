"""What each source knows about a customer, cached; an old answer is better than none while a source is down."""

from collections.abc import Awaitable, Callable, Iterable

from pydantic import TypeAdapter

from common.cache.cache import Cache
from common.cache.entry import Rule
from support_hub.customer import View
from support_hub.fanout import Read
from support_hub.ports import Contact, Crm, Orders, Profiles
from support_hub.records import Reference

MOST_TICKETS = 100
"""Of a platform; with as many, there may be more."""
MOST_ORDERS = 100
NOTHING = View()


def record_tag(reference: Reference) -> str:
    """The tag of all answers that have this record in them."""
    return f"record:{reference}"


def email_tag(email: str) -> str:
    """The tag of all answers about this address, also of those that found nothing."""
    return f"email:{email}"


def source_tag(name: str) -> str:
    """The tag of all answers of a source."""
    return f"source:{name}"


class CachedSource:
    """One source with its own rule: a change in one platform leaves the others' answers where they are."""

    def __init__(self, name: str, cache: Cache, fresh: float, stale: float, seconds: float) -> None:
        self.name = name
        self._cache = cache
        # As much time as the caller waits: what comes later would be for the next one, who asks anew.
        self._rule = Rule(f"view:{name}", TypeAdapter(View), ttl=fresh, stale=stale, load_seconds=seconds)

    async def read(self, contact: Contact, load: Callable[[], Awaitable[View]]) -> Read[View]:
        """The view, from the cache or loaded."""
        key = contact.email or contact.phone or str(contact.reference)
        tags = [email_tag(contact.email)] if contact.email else []
        tags += [record_tag(contact.reference)] if contact.reference else []
        tags.append(source_tag(self.name))
        found = await self._cache.get(self._rule, key, load, tags=tags, tags_of=tags_of)
        return Read(found.value or NOTHING, found.loaded_at, found.is_stale)


def tags_of(view: View) -> Iterable[str]:
    """By what an answer is forgotten: its records, and the addresses in it."""
    yield from (record_tag(person.reference) for person in view.people)
    yield from (record_tag(ticket.reference) for ticket in view.tickets)
    yield from (email_tag(email) for person in view.people for email in person.emails)


class CrmSource:
    """A CRM as a source: people, and their tickets."""

    def __init__(self, crm: Crm, cached: CachedSource) -> None:
        self.name = crm.name
        self._crm = crm
        self._cached = cached

    async def view(self, contact: Contact) -> Read[View]:
        """See customer.Source."""
        if contact.reference is not None and contact.reference.source != self.name:
            return Read(NOTHING, 0.0)
        return await self._cached.read(contact, lambda: self._load(contact))

    async def _load(self, contact: Contact) -> View:
        people = await self._crm.find_people(contact)
        tickets = await self._crm.tickets_of(people, MOST_TICKETS) if people else []
        return View(tuple(people), tuple(tickets), truncated=len(tickets) >= MOST_TICKETS)


class OrdersSource:
    """The order database as a source. It knows customers by their address alone."""

    name = "orders"

    def __init__(self, orders: Orders, cached: CachedSource) -> None:
        self._orders = orders
        self._cached = cached

    async def view(self, contact: Contact) -> Read[View]:
        """See customer.Source."""
        if not contact.email:
            return Read(NOTHING, 0.0)
        return await self._cached.read(contact, lambda: self._load(contact.email))

    async def _load(self, email: str) -> View:
        found = await self._orders.of([email], MOST_ORDERS + 1)
        return View(orders=tuple(found[:MOST_ORDERS]), truncated=len(found) > MOST_ORDERS)


class ProfilesSource:
    """What the hub itself keeps, as a source."""

    name = "profiles"

    def __init__(self, profiles: Profiles, cached: CachedSource) -> None:
        self._profiles = profiles
        self._cached = cached

    async def view(self, contact: Contact) -> Read[View]:
        """See customer.Source."""
        if not contact.email:
            return Read(NOTHING, 0.0)
        return await self._cached.read(contact, lambda: self._load(contact.email))

    async def _load(self, email: str) -> View:
        return View(profile=await self._profiles.get([email]))
