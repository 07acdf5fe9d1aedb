"""The first page: is the server well, and how fast does it answer?"""

import os
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from common.console.page import Page, Visit
from common.console.plot import TICKS, WIDTH, Row, position
from common.observability.metrics import Latency
from common.runtime import Runtime


def overview_page() -> Page:
    """The page; it counts the time from now."""
    started = time.monotonic()

    async def overview(visit: Visit) -> Response:
        _, health = await visit.runtime.health.readiness()
        latencies = list(visit.runtime.metrics.latencies())
        return visit.render(
            "overview.html",
            health=health,
            critical=visit.runtime.health.critical,
            profile=visit.runtime.settings.profile,
            uptime=duration(time.monotonic() - started),
            process=f"{socket.gethostname()}, process {os.getpid()}",
            totals=totals(visit.runtime, latencies),
            rows=[Row(latency) for latency in sorted(latencies, key=lambda each: -each.calls)],
            scale={"width": WIDTH, "ticks": [(position(at), label) for at, label in TICKS.items()]},
            connect=connect_command(visit.request, visit.runtime),
        )

    return Page("", "Overview", "console:overview", overview, order=0)


def totals(runtime: Runtime, latencies: Sequence[Latency]) -> dict[str, Any]:
    """The numbers above the table."""
    calls, failed = sum(each.calls for each in latencies), sum(each.failed for each in latencies)
    return {
        "calls": calls,
        "error_rate": failed / calls if calls else 0.0,
        "in_flight": _metric(runtime, "triptych_calls_in_flight"),
        "sign_in_failures": _metric(runtime, "triptych_sign_in_failures_total"),
        "backlog": runtime.audit.backlog,
        "audit_healthy": runtime.audit.healthy,
    }


def _metric(runtime: Runtime, name: str) -> float:
    return runtime.metrics.registry.get_sample_value(name, {"server": runtime.name}) or 0.0


def duration(seconds: float) -> str:
    """2 d 4 h, 3 h 12 min, 4 min 10 s"""
    rest = timedelta(seconds=int(seconds))
    hours, minutes = divmod(rest.seconds // 60, 60)
    if rest.days:
        return f"{rest.days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest.seconds % 60} s"


def connect_command(request: Request, runtime: Runtime) -> str:
    """What connects Claude Code to this server."""
    base = runtime.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
    header = '"Authorization: Bearer $TRIPTYCH_API_KEY"'
    return f"claude mcp add --transport http {runtime.name} {base.rstrip('/')}/mcp --header {header}"
