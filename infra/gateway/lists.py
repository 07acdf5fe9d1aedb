"""The lists of all domains as one, as this caller may see them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from common.errors import AppError
from infra.gateway.asking import ask_for_all
from infra.gateway.caller import Caller
from infra.gateway.catalogue import Catalogue, Item, Listing
from infra.gateway.domain import Domain

FIELDS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
NOT_TO_KEEP = {"ttlMs": 0, "cacheScope": "private"}


class Lists:
    """Asks all domains side by side; one that is slow or down holds nobody up."""

    def __init__(self, catalogues: Sequence[Catalogue], wait_seconds: float) -> None:
        self._catalogues = {each.domain.prefix: each for each in catalogues}
        self._wait = wait_seconds

    def of(self, domain: Domain) -> Catalogue:
        return self._catalogues[domain.prefix]

    async def answer(self, method: str, caller: Caller) -> dict[str, Any]:
        """The result of a list request, in one page."""
        field = FIELDS[method]
        if field == "resources":
            found = await asyncio.gather(*(self._resources(each.domain, caller) for each in self._catalogues.values()))
        else:
            listings = await asyncio.gather(*(each.listing(caller) for each in self._catalogues.values()))
            found = [
                _shown(field, prefix, listing) if listing else []
                for prefix, listing in zip(self._catalogues, listings, strict=True)
            ]
        return {field: [item for items in found for item in items], **NOT_TO_KEEP}

    async def _resources(self, domain: Domain, caller: Caller) -> list[Item]:
        if not domain.up:
            return []
        try:
            async with asyncio.timeout(self._wait):
                found = await ask_for_all(domain, caller, "resources/list", "resources")
        except (TimeoutError, AppError):
            return []
        return _reachable(domain.prefix, "uri", found)


def _shown(field: str, prefix: str, listing: Listing) -> list[Item]:
    if field == "resourceTemplates":
        return _reachable(prefix, "uriTemplate", listing.templates)
    items = listing.tools if field == "tools" else listing.prompts
    return [{**item, "name": f"{prefix}_{name}"} for name, item in items.items()]


def _reachable(prefix: str, field: str, items: Sequence[Item]) -> list[Item]:
    """Those whose address leads to this domain."""
    return [item for item in items if str(item.get(field, "")).startswith(f"{prefix}://")]
