"""The page of the domains: each replica, whether it is used, and what it does at the moment."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from common.console.overview import duration
from common.console.page import Page, Visit
from infra.gateway.domain import Domain, Replica

TEMPLATES = Path(__file__).parent / "templates"
TONES = {"ready": "good", "unknown": "warn", "draining": "warn", "down": "bad", "closed": "good", "open": "bad"}


@dataclass(frozen=True)
class Row:
    """One replica."""

    replica: Replica

    @property
    def tone(self) -> str:
        return TONES[self.replica.state]

    @property
    def breaker(self) -> str:
        return self.replica.breaker.state

    @property
    def breaker_tone(self) -> str:
        return TONES.get(self.breaker, "warn")

    @property
    def since(self) -> str:
        return duration(time.monotonic() - self.replica.since)


def domains_page(domains: Sequence[Domain]) -> Page:
    """For those who run the gateway."""

    async def page(visit: Visit) -> Response:
        shown = [(domain, [Row(replica) for replica in domain.replicas]) for domain in domains]
        return visit.render("domains.html", domains=shown)

    return Page("/domains", "Domains", "console:domains", page, order=10)
