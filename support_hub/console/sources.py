"""How the sources do: breakers, times, last errors and what remains of the limits, as this process sees it."""

import os
import socket
from datetime import UTC, datetime

from starlette.responses import Response

from common.console.page import Page, Visit
from common.http.status import UpstreamStatus
from support_hub.bootstrap import SupportHub
from support_hub.source_health import Seen


def sources_page(hub: SupportHub) -> Page:
    """The page."""

    async def sources(visit: Visit) -> Response:
        upstreams = sorted(hub.upstreams.statuses(), key=lambda each: each.name)
        return visit.render(
            "sources.html",
            sources=[(name, seen, _tone(seen)) for name, seen in hub.customers.health.seen.items()],
            upstreams=[(each, _breaker_tone(each)) for each in upstreams],
            rates={kind.removeprefix("view:"): rate for kind, rate in hub.cache.results.hit_rates().items()},
            clock=lambda moment: datetime.fromtimestamp(moment, UTC).isoformat() if moment else "",
            process=f"{socket.gethostname()}, process {os.getpid()}",
        )

    return Page("/sources", "Sources", "console:sources", sources, order=12)


def _tone(seen: Seen) -> str:
    if seen.last is None:
        return ""
    return {"ok": "good", "not_found": "good", "stale": "warn"}.get(seen.last, "bad")


def _breaker_tone(status: UpstreamStatus) -> str:
    return {"closed": "good", "half-open": "warn"}.get(status.breaker, "bad")
