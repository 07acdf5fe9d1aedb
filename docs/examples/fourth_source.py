"""A fourth source for the support hub, whole: a partner portal that knows customers by their e-mail address.

Copy it to support_hub/adapters/, and add it to the list that `build_sources` in support_hub/bootstrap.py returns.
"""

from datetime import UTC, datetime

from common.http.client import Request, ResilientClient
from common.http.credentials import FixedHeaders
from common.http.guard import path
from common.http.upstream import Upstream
from support_hub.adapters.platform import Api, emails, moment, without_empty
from support_hub.customer import View
from support_hub.fanout import Read
from support_hub.ports import Contact
from support_hub.records import Person, Reference
from support_hub.sources import NOTHING, CachedSource


class PartnerPortal:
    """See customer.Source. GET customers/{email}: 404, or {"id", "name", "company", "email", "changed"}."""

    name = "partners"

    def __init__(self, url: str, token: str, cached: CachedSource) -> None:
        credentials = FixedHeaders({"Authorization": f"Bearer {token}"})
        # Deadline, retries, breaker, rate and size limit come with the client.
        self._api = Api(ResilientClient(Upstream("partners", url, deadline=2.0), credentials), "The partner portal")
        self._cached = cached

    async def view(self, contact: Contact) -> Read[View]:
        """What it knows of a customer; of those known only by number it is asked again once their address is known."""
        if not contact.email:
            return Read(NOTHING, datetime.now(UTC).timestamp())
        return await self._cached.read(contact, lambda: self._load(contact.email))

    async def _load(self, email: str) -> View:
        raw = await self._api.send(Request("GET", f"customers/{path(email)}"))
        with self._api.reading():
            person = Person(
                reference=Reference(self.name, str(raw["id"])),
                fields=without_empty({"name": raw["name"], "company": raw.get("company"), "email": raw["email"]}),
                emails=emails(raw["email"]),
                phones=frozenset(),
                updated_at=moment(raw["changed"]),
            )
        return View(people=(person,))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
