"""Records that may be one customer's, with what speaks for it; people merge them here, and take it back."""

from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from common.console.page import HOME, Page, Visit
from common.errors import InvalidInput
from support_hub.answers import person_entry
from support_hub.contact import read_contact, read_reference
from support_hub.customer import Customers
from support_hub.fanout import worst
from support_hub.merges import Merges

ADDRESS = f"{HOME}/merges"
MOST = 20
LONGEST = 320


def merges_pages(customers: Customers, merges: Merges, region: str) -> list[Page]:
    """The page, and what its forms are sent to, for those who may use the tools that do the same."""

    async def suggestions(visit: Visit) -> Response:
        query = visit.request.query_params
        asked = {name: value[:LONGEST] for name in ("email", "phone", "customer_id") if (value := query.get(name))}
        if not asked:
            return visit.render("merges.html", asked="", who="", found=[], missing=[], merged=[], **_links(visit))
        contact = read_contact(asked.get("email"), asked.get("phone"), asked.get("customer_id"), region)
        customer = await customers.find(contact)
        found = await merges.suggestions(customer.people, MOST)
        name = next((fact.chosen.value for fact in customer.facts if fact.name == "name"), "")
        return visit.render(
            "merges.html",
            asked=next(iter(asked.values())),
            who=name,
            found=[(each, person_entry(each.other)) for each in found.found],
            missing=[name for name, each in worst([customer.sources, found.sources]).items() if not each.answered],
            merged=await merges.in_force(person.reference for person in customer.people),
            **_links(visit),
        )

    async def merge(visit: Visit) -> Response:
        first, second = _given(visit, "first"), _given(visit, "second")
        await merges.merge(visit.principal, read_reference(first), read_reference(second))
        return _back(first)

    async def undo(visit: Visit) -> Response:
        undone = await merges.undo(visit.principal, _given(visit, "merge_id"))
        return _back(undone.pair[0])

    posted = frozenset({"POST"})
    return [
        Page("/merges", "Merges", "console:customers", suggestions, order=15, recorded=True),
        Page("/merges/merge", "Merge", "merge_customers", merge, in_nav=False, methods=posted, recorded=True),
        Page("/merges/undo", "Undo a merge", "undo_merge", undo, in_nav=False, methods=posted, recorded=True),
    ]


def _links(visit: Visit) -> dict[str, Any]:
    """What the visitor may do here, and where. What a form is about stands in its address, which is audited."""
    allows = visit.runtime.policy.allows
    return {
        "address": ADDRESS,
        "may_merge": allows(visit.principal, "merge_customers"),
        "may_undo": allows(visit.principal, "undo_merge"),
    }


def _given(visit: Visit, name: str) -> str:
    value = visit.request.query_params.get(name, "")
    if not 0 < len(value) <= LONGEST:
        raise InvalidInput(f"`{name}` is missing.", "Use the form of the page.")
    return value


def _back(record: str) -> Response:
    return RedirectResponse(f"{ADDRESS}?{urlencode({'customer_id': record})}", 303)
