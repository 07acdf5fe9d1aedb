"""The page that shows one request: its steps through gateway, server, clusters and other systems, and its records."""

from urllib.parse import urlencode

from starlette.responses import Response

from common.console.audit_entries import records_of
from common.console.audit_entry import tone_of
from common.console.page import HOME, Page, Visit
from common.console.waterfall import WIDTH, Waterfall, waterfall

SEE_TRACES = "console:audit"
"""Who may read the audit log may see how a request of it went."""
ADDRESS = f"{HOME}/traces"
MAX_RECORDS = 200
LATEST = 30
MAX_VALUE = 256


def trace_page() -> Page:
    """The page; without a request id it lists the last ones."""

    async def trace(visit: Visit) -> Response:
        runtime, tenant = visit.runtime, visit.principal.tenant
        wanted = visit.request.query_params.get("request_id", "").strip()[:MAX_VALUE]
        records = await records_of(runtime.engine, tenant, wanted, MAX_RECORDS) if wanted else []
        traces = await runtime.traces.everywhere(wanted, tenant) if wanted else []
        drawn = waterfall(records, traces)
        return visit.render(
            "traces.html",
            address=ADDRESS,
            wanted=wanted,
            drawn=drawn,
            width=WIDTH,
            missing=missing(drawn, sum(each.left_out for each in traces), len(records) == MAX_RECORDS),
            latest=runtime.traces.last(tenant, LATEST),
            audit_link=f"{HOME}/audit?{urlencode({'request_id': wanted})}",
            trace_link=trace_link,
            tone_of=tone_of,
        )

    return Page("/traces", "Traces", SEE_TRACES, trace, order=91)


def trace_link(request_id: str) -> str:
    """The address of the trace of this request."""
    return f"{ADDRESS}?{urlencode({'request_id': request_id})}"


def missing(drawn: Waterfall, left_out: int, is_cut: bool) -> list[str]:
    """What the page cannot show, in words."""
    said = []
    if drawn.only_recorded:
        names = ", ".join(drawn.only_recorded)
        said.append(
            f"Another process served it, it still runs, or it is too long ago for memory: of {names} only the audit "
            "log is known, and no steps."
        )
    if drawn.parts and "gateway" not in drawn.layers:
        said.append(
            "The gateway has no record here: the request did not pass it, or its audit log is in another place. "
            "There its own console shows its part under the same id."
        )
    if left_out:
        said.append(f"{left_out} more steps were too many to be kept.")
    if is_cut:
        said.append(f"It has more than {MAX_RECORDS} records: these are the newest.")
    return said
