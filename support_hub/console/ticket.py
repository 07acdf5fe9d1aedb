"""One ticket with its whole conversation. What people wrote is shown as text, whatever it looks like."""

from starlette.responses import Response

from common.console.page import HOME, Page, Visit
from common.errors import NotFound
from support_hub.contact import read_reference
from support_hub.ticket_answers import ticket_detail
from support_hub.tickets import Tickets

LONGEST_ID = 110


def ticket_page(tickets: Tickets) -> Page:
    """The page."""

    async def ticket(visit: Visit) -> Response:
        name = visit.request.path_params["id"]
        if len(name) > LONGEST_ID:
            raise NotFound("There is no such ticket.", "Search for it by its words.")
        detail = ticket_detail(await tickets.get(read_reference(name)))
        return visit.render("ticket.html", ticket=detail, home=HOME)

    return Page("/tickets/{id}", "Ticket", "console:tickets", ticket, in_nav=False, recorded=True)
