"""The lists of all domains as one, as this caller may see them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from common.errors import AppError
from infra.gateway.asking import ask_for_all
from infra.gateway.caller import Caller
from infra.gateway.catalogue import Catalogue, Item, Listing
from infra.gateway.domain import Domain
from infra.gateway.policy import DomainPolicy

FIELDS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
NOT_TO_KEEP = {"ttlMs": 0, "cacheScope": "private"}


class Lists:
    """Asks all domains side by side; one that is slow or down holds nobody up."""

    def __init__(self, catalogues: Sequence[Catalogue], policy: DomainPolicy, wait_seconds: float) -> None:
        self._catalogues = {each.domain.prefix: each for each in catalogues}
        self._policy = policy
        self._wait = wait_seconds

    def of(self, domain: Domain) -> Catalogue:
        return self._catalogues[domain.prefix]

    async def answer(self, method: str, caller: Caller) -> dict[str, Any]:
        """The result of a list request, in one page."""
        field = FIELDS[method]
        if field == "resources":
            found = await asyncio.gather(*(self._resources(each.domain, caller) for each in self._catalogues.values()))
        else:
            found = [self._shown(field, *each, caller) for each in await self._listings(caller)]
        return {field: [item for items in found for item in items], **NOT_TO_KEEP}

    async def instructions(self, caller: Caller) -> str:
        """What the domains tell the model, each under the prefix of its tools."""
        told = [(prefix, listing.instructions) for prefix, listing in await self._listings(caller)]
        return "\n\n".join(f"Tools {prefix}_*: {text}" for prefix, text in told if text)

    async def _listings(self, caller: Caller) -> list[tuple[str, Listing]]:
        found = await asyncio.gather(*(each.listing(caller) for each in self._catalogues.values()))
        return [(prefix, listing) for prefix, listing in zip(self._catalogues, found, strict=True) if listing]

    def _shown(self, field: str, prefix: str, listing: Listing, caller: Caller) -> list[Item]:
        who = caller.principal
        if field == "resourceTemplates":
            found = _reachable(prefix, "uriTemplate", listing.templates)
            return [item for item in found if self._policy.allows(who, "resource", prefix, item["uriTemplate"])]
        kind, items = ("tool", listing.tools) if field == "tools" else ("prompt", listing.prompts)
        return [
            {**item, "name": f"{prefix}_{name}"}
            for name, item in items.items()
            if self._policy.allows(who, kind, prefix, name)
        ]

    async def _resources(self, domain: Domain, caller: Caller) -> list[Item]:
        if not domain.up:
            return []
        try:
            async with asyncio.timeout(self._wait):
                found = await ask_for_all(domain, caller, "resources/list", "resources")
        except (TimeoutError, AppError):
            return []
        who = caller.principal
        shown = _reachable(domain.prefix, "uri", found)
        return [item for item in shown if self._policy.allows(who, "resource", domain.prefix, item["uri"])]


def _reachable(prefix: str, field: str, items: Sequence[Item]) -> list[Item]:
    """Those whose address leads to this domain."""
    return [item for item in items if str(item.get(field, "")).startswith(f"{prefix}://")]
