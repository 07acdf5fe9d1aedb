"""The page that shows the audit log and checks that nobody changed it."""

import asyncio
import contextlib
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

from common.console.audit_entries import NOT_OK, UNFINISHED, Filters, Position, entries
from common.console.page import HOME, Page, Visit
from common.console.trace_page import trace_link
from common.errors import Conflict, DeadlineExceeded, InvalidInput
from common.observability.call import request_id
from common.paging import decode_cursor, encode_cursor
from common.resilience.deadline import deadline
from common.security.audit import AuditRecord, AuditUnavailable, VerifyReport, checkpoint_path, verify

OUTCOMES = ("ok", NOT_OK, UNFINISHED, "denied", "unknown", "rate_limited", "invalid_input", "conflict", "error")
MAX_VALUE = 256
ADDRESS = f"{HOME}/audit"


def audit_page() -> Page:
    """The page. It verifies once at a time: that reads the whole log."""
    verifying = asyncio.Lock()

    async def audit(visit: Visit) -> Response:
        query, report = visit.request.query_params, None
        if visit.request.method == "POST":
            if verifying.locked():
                raise Conflict("Somebody is verifying the log at this moment.", "Try again in a few seconds.")
            async with verifying:
                report = await verified(visit)
        filters = _filters(query)
        older = _position(query["older"], filters) if query.get("older") else None
        found, next_position = await entries(visit.runtime.engine, visit.principal.tenant, filters, older)
        return visit.render(
            "audit.html",
            address=ADDRESS,
            entries=found,
            filters=filters,
            is_filtered=filters != Filters(),
            is_first=older is None,
            link=link,
            older=_older(filters, next_position),
            outcomes=OUTCOMES,
            report=report,
            trace_link=trace_link,
        )

    return Page("/audit", "Audit", "console:audit", audit, order=90, methods=frozenset({"GET", "POST"}))


async def verified(visit: Visit) -> VerifyReport:
    """What a check of the whole log finds; that it was checked goes into the log too."""
    runtime = visit.runtime
    seconds = 0.9 * runtime.settings.tool_timeout_seconds
    try:
        async with deadline(seconds):
            report = await verify(runtime.engine, runtime.key, checkpoint_path(runtime.settings))
    except DeadlineExceeded:
        message = f"The log is too long to be verified here within {seconds:.0f} s."
        raise DeadlineExceeded(message, "Run `triptych audit verify`, which takes the time it needs.") from None
    _record(visit, report)
    return report


def link(**values: str) -> str:
    """The address that shows only what has these values."""
    return f"{ADDRESS}?{urlencode({name: value for name, value in values.items() if value})}"


def _filters(query: QueryParams) -> Filters:
    given = {name: query.get(name, "").strip()[:MAX_VALUE] for name in ("subject", "action", "request_id", "outcome")}
    return Filters(**given)


def _question(filters: Filters) -> list[str]:
    return [filters.subject, filters.action, filters.request_id, filters.outcome]


def _older(filters: Filters, position: Position | None) -> str | None:
    if position is None:
        return None
    return link(**vars(filters), older=encode_cursor(position, _question(filters)))


def _position(cursor: str, filters: Filters) -> Position:
    position = decode_cursor(cursor, _question(filters), list)
    match position:
        case [str(at), str(writer), int(seq)] if 0 <= seq < 2**63:
            return at, writer, seq
    raise InvalidInput("The link to older records is damaged.", "Start again from the newest records.")


def _record(visit: Visit, report: VerifyReport) -> None:
    who, outcome = visit.principal, "intact" if report.ok else "damaged"
    detail = {"records": report.records, "writers": report.writers, "problems": len(report.problems)}
    record = AuditRecord("event", "audit_verify", request_id.get(), who.subject, who.tenant, outcome, detail)
    with contextlib.suppress(AuditUnavailable):
        visit.runtime.audit.append(record)
