"""Sends a request to a replica of its domain, and streams the answer back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from common.errors import DeadlineExceeded, Unavailable
from common.observability.traces import step
from infra.gateway.domain import Domain, Replica
from infra.gateway.wire import Reply, WireFailure

JSON, EVENTS = "application/json", "text/event-stream"
WHOLE_BYTES = 65_536
"""A JSON answer up to this is passed on when all of it is there: it comes at once, and a torn one is no answer."""
BEGINNINGS = {JSON: (b"{",), EVENTS: (b"event:", b"data:", b"id:", b"retry:", b":")}
STALLED_SECONDS = 1.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outgoing:
    """A request as the domain gets it."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    key: str
    """Whose calls should meet the same replica: the tenant."""
    repeatable: bool
    """Whether it may be done twice: it only reads, or is idempotent."""


@dataclass
class Trace:
    """What became of a request, for audit and metrics."""

    replica: str = ""
    tries: int = 0
    status: int = 0


Deliver = Callable[[Reply, bytes], Awaitable[None]]
"""Passes an answer on, with its first bytes. Nothing of it has gone to the client before."""


class ClientStalled(Exception):
    """The client does not read its answer."""


class BadAnswer(WireFailure):
    """Not what an MCP server answers."""


async def forward(domain: Domain, outgoing: Outgoing, deliver: Deliver, trace: Trace) -> None:
    """Try the replicas in their order until one answers. Raises Unavailable, DeadlineExceeded."""
    ends_at = time.monotonic() + domain.limits.seconds
    async with domain.bulkhead:
        tried: list[Replica] = []
        while (replica := domain.choose(outgoing.key, tried)) is not None:
            tried.append(replica)
            trace.replica, trace.tries = replica.name, len(tried)
            with step("domain", f"passed on to {replica.name}") as taken:
                failure = await _attempt(domain, replica, outgoing, deliver, trace, ends_at)
                taken.outcome = "" if failure is None else "unavailable"
            if failure is None:
                return
            if failure.sent and not outgoing.repeatable:
                raise _broken(domain, outgoing)
            if time.monotonic() >= ends_at:
                raise DeadlineExceeded(f"{domain.prefix} did not answer in time.", "Ask for less, or try again later.")
            replica.meter.retries.inc()
        raise domain.unavailable()


async def _attempt(
    domain: Domain, replica: Replica, outgoing: Outgoing, deliver: Deliver, trace: Trace, ends_at: float
) -> WireFailure | None:
    """One try; a failure is returned if another replica may be asked, and raised if the client has begun to read."""
    try:
        ticket = replica.breaker.admit()
    except Unavailable:
        return WireFailure("breaker", sent=False)
    started = time.monotonic()
    replica.in_flight += 1
    delivered = False
    try:
        async with domain.wire.post(replica.url, outgoing.headers, outgoing.body, ends_at - started) as reply:
            first = await _checked(reply)
            trace.status = reply.status
            delivered = True
            async with _read_by_then(ends_at):
                await deliver(reply, first)
    except WireFailure as failure:
        _record(replica, ticket, True, started)
        log.warning("gateway.try_failed", replica=replica.name, reason=str(failure), sent=failure.sent)
        if delivered:
            raise _broken(domain, outgoing) from None
        return failure
    except BaseException:
        replica.breaker.forget(ticket)
        raise
    else:
        _record(replica, ticket, False, started)
        replica.answered = time.monotonic()
        return None
    finally:
        replica.in_flight -= 1


@asynccontextmanager
async def _read_by_then(ends_at: float) -> AsyncIterator[None]:
    """A client that does not read keeps its place at the domain no longer than a domain that does not answer.

    Raises ClientStalled. Until then the wire's own deadline has passed, which is the domain's.
    """
    try:
        async with asyncio.timeout(ends_at - time.monotonic() + STALLED_SECONDS) as patience:
            yield
    except TimeoutError:
        if patience.expired():
            raise ClientStalled from None
        raise


async def _checked(reply: Reply) -> bytes:
    """The first bytes, or the whole of a short answer, of what an MCP server may answer. Raises BadAnswer."""
    if reply.status >= 500 or 300 <= reply.status < 400:
        # Also 503: a proxy in between says it after the request went through.
        raise BadAnswer(f"status {reply.status}", sent=True)
    kind = next((kind for kind in BEGINNINGS if reply.content_type.startswith(kind)), None)
    if kind is None:
        raise BadAnswer(f"status {reply.status}, neither JSON nor events", sent=True)
    first = await reply.read()
    if not first.startswith(BEGINNINGS[kind]):
        raise BadAnswer("not what its type says", sent=True)
    if kind == JSON and reply.length is not None and reply.length <= WHOLE_BYTES:
        while len(first) < reply.length and (more := await reply.read()):
            first += more
    return first


def _record(replica: Replica, ticket: int, failed: bool, started: float) -> None:
    seconds = time.monotonic() - started
    (replica.meter.failed if failed else replica.meter.ok).observe(seconds)
    # How long a call takes is its own matter here: a slow one is no sign of a replica that is ill.
    if replica.breaker.record(ticket, failed, 0.0):
        log.warning("gateway.breaker", replica=replica.name, state=replica.breaker.state)
        replica.meter.open.set(replica.breaker.state != "closed")


def _broken(domain: Domain, outgoing: Outgoing) -> Unavailable:
    if outgoing.repeatable:
        return Unavailable(f"{domain.prefix} broke off in the middle of the answer.", "Nothing is lost: call again.")
    return Unavailable(
        f"{domain.prefix} broke off, and may have done what was asked.",
        "Look at the state of things before you call again.",
    )
