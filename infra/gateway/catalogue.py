"""What each caller may see of a domain: asked with the caller's own token, kept for that caller alone.

A list is taken as it is for a while, then renewed behind the back of whoever asks next, and kept while the domain is
down. Resources are content and no catalogue: they are asked anew each time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from common.errors import AppError, Denied
from common.resilience.deadline import without_deadline
from common.security.principal import Principal
from infra.gateway.asking import ask_for_all, discover
from infra.gateway.caller import Caller
from infra.gateway.domain import Domain
from infra.gateway.settings import GatewaySettings

MOST_CALLERS = 2_000
MOST_NAMES = 2_000
STALE_TIMES = 10
"""How many times its age of freshness a list is still shown while a new one is fetched."""
log = structlog.get_logger(__name__)
Item = dict[str, Any]
Key = tuple[bytes, Principal]


@dataclass(frozen=True)
class Listing:
    """What one caller sees of one domain, by the domain's own names."""

    tools: dict[str, Item]
    prompts: dict[str, Item]
    templates: tuple[Item, ...]
    instructions: str
    at: float


class Catalogue:
    """The listings of one domain, by caller. Bounded; whoever asked longest ago is forgotten first."""

    def __init__(self, domain: Domain, settings: GatewaySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.domain = domain
        self._settings = settings
        self._clock = clock
        self._by_caller: OrderedDict[Key, Listing] = OrderedDict()
        self._by_rights: OrderedDict[Principal, Listing] = OrderedDict()
        """The last one of each person with the same rights, for when a token is renewed while the domain is down."""
        self.names: set[str] = set()
        """Of tools and prompts that somebody was shown: they may be labels of metrics."""
        self._fetching: dict[Key, asyncio.Task[Listing]] = {}

    async def listing(self, caller: Caller) -> Listing | None:
        """What this caller sees; None if that is not known and the domain does not answer in time."""
        key = (caller.digest, caller.principal)
        found = self._by_caller.get(key)
        age = self._clock() - found.at if found else 0.0
        if found and age < self._settings.list_seconds:
            self._by_caller.move_to_end(key)
            return found
        if not self.domain.up:
            return self._kept(key)
        fetching = self._fetch(key, caller)
        if found and age < STALE_TIMES * self._settings.list_seconds:
            return found
        try:
            async with asyncio.timeout(self._settings.list_wait_seconds):
                return await asyncio.shield(fetching)
        except (TimeoutError, AppError):
            return self._kept(key)

    def known(self, caller: Caller) -> Listing | None:
        """What is remembered, without waiting; the first time it is asked for, so that it is there later."""
        key = (caller.digest, caller.principal)
        found = self._by_caller.get(key)
        if found is None and self.domain.up:
            self._fetch(key, caller)
        return found

    async def close(self) -> None:
        """End what is being fetched."""
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    def _kept(self, key: Key) -> Listing | None:
        found = self._by_caller.get(key) or self._by_rights.get(key[1])
        return found if found and self._clock() - found.at < self._settings.list_keep_seconds else None

    def _fetch(self, key: Key, caller: Caller) -> "asyncio.Task[Listing]":
        """One fetch for all that wait for the same list."""
        task = self._fetching.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, caller), context=without_deadline())
            self._fetching[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return task

    def _done(self, key: Key, task: "asyncio.Task[Listing]") -> None:
        self._fetching.pop(key, None)
        if not task.cancelled() and (error := task.exception()):
            log.warning("gateway.list_failed", domain=self.domain.prefix, error=str(error))

    async def _ask(self, key: Key, caller: Caller) -> Listing:
        try:
            instructions = await discover(self.domain, caller)
            tools, prompts, templates = await asyncio.gather(
                ask_for_all(self.domain, caller, "tools/list", "tools"),
                ask_for_all(self.domain, caller, "prompts/list", "prompts"),
                ask_for_all(self.domain, caller, "resources/templates/list", "resourceTemplates"),
            )
        except Denied:
            # Nothing is there for somebody whom the domain does not know.
            instructions, tools, prompts, templates = "", [], [], []
        listing = Listing(_named(tools), _named(prompts), tuple(templates), instructions, self._clock())
        if len(self.names) < MOST_NAMES:
            self.names |= {*listing.tools, *listing.prompts}
        _remember(self._by_caller, key, listing)
        _remember(self._by_rights, key[1], listing)
        return listing


def _named(items: list[Item]) -> dict[str, Item]:
    return {item["name"]: item for item in items if isinstance(item.get("name"), str)}


def _remember(kept: OrderedDict[Any, Listing], key: Any, listing: Listing) -> None:
    kept[key] = listing
    kept.move_to_end(key)
    while len(kept) > MOST_CALLERS:
        kept.popitem(last=False)
