"""Which pages there are, and who may see them (policies/console.cedar, and SUPPORT_TENANT and SUPPORT_GROUPS)."""

from dataclasses import replace
from pathlib import Path

from starlette.responses import Response

from common.console.page import Page, Visit
from support_hub.access import CustomerAccess
from support_hub.bootstrap import SupportHub
from support_hub.console.customer import customer_page
from support_hub.console.customers import customers_page
from support_hub.console.merges import merges_pages
from support_hub.console.sources import sources_page
from support_hub.console.ticket import ticket_page
from support_hub.console.tickets import tickets_page

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


def pages(hub: SupportHub) -> list[Page]:
    """All of them. The sources' page shows no customer."""
    of_customers = [
        customers_page(hub.people, hub.settings.phone_region),
        customer_page(hub.customers, hub.settings.phone_region),
        tickets_page(hub.search),
        ticket_page(hub.tickets),
        *merges_pages(hub.customers, hub.merges, hub.settings.phone_region),
    ]
    return [*(guarded(page, hub.access) for page in of_customers), sources_page(hub)]


def guarded(page: Page, access: CustomerAccess) -> Page:
    """The page for those who may see these customers, as the tools ask it, before anything is read."""

    async def checked(visit: Visit) -> Response:
        access.check(visit.principal)
        return await page.endpoint(visit)

    return replace(page, endpoint=checked)
