"""The way to a customer: by address, telephone number or id at once, else by words of name or company."""

from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from common.console.page import HOME, Page, Visit
from common.errors import InvalidInput
from support_hub.arguments import Paging
from support_hub.contact import read_email, read_phone, read_reference
from support_hub.people import PeopleSearch
from support_hub.ticket_answers import customer_list

ADDRESS = f"{HOME}/customers"
PAGE = 15
SHORTEST, LONGEST = 2, 200


def customers_page(people: PeopleSearch, region: str) -> Page:
    """The page."""

    async def customers(visit: Visit) -> Response:
        asked = visit.request.query_params.get("q", "").strip()[:LONGEST]
        values: dict[str, Any] = {"address": ADDRESS, "asked": asked, "found": None, "problem": "", "next": None}
        if not asked:
            return visit.render("customers.html", **values)
        if direct := direct_link(asked, region):
            return RedirectResponse(direct, 303)
        if len(asked) < SHORTEST:
            problem = "One letter is in nearly every name: give more of it."
            return visit.render("customers.html", 400, **values | {"problem": problem})
        paging = Paging(visit.principal, "customers", asked, PAGE)
        after = paging.open(visit.request.query_params.get("cursor"), dict)
        found = await people.search(asked, PAGE, after)
        cursor = paging.seal(found.following)
        following = f"{ADDRESS}?{urlencode({'q': asked, 'cursor': cursor})}" if cursor else None
        return visit.render("customers.html", **values | {"found": customer_list(found, cursor), "next": following})

    return Page("/customers", "Customers", "console:customers", customers, order=10, recorded=True)


def direct_link(asked: str, region: str) -> str | None:
    """The customer's page if the text is an e-mail address, a telephone number or an id."""
    for name, read in (("email", read_email), ("customer_id", read_reference)):
        try:
            return f"{HOME}/customer?{urlencode({name: str(read(asked))})}"
        except InvalidInput:
            continue
    if not any(char.isalpha() for char in asked):
        try:
            return f"{HOME}/customer?{urlencode({'phone': read_phone(asked, region)})}"
        except InvalidInput:
            return None
    return None
