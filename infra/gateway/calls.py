"""Requests that a domain answers: decided, passed on, counted, and recorded."""

import contextlib
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Send

from common.errors import AppError, InvalidInput, NotFound, RateLimited
from common.observability.call import Call, request_id
from common.runtime import Runtime
from common.security.audit import AuditRecord, AuditUnavailable
from infra.gateway.answer import Answer, Refusal
from infra.gateway.asking import era_of
from infra.gateway.caller import Caller
from infra.gateway.domains import Domains, Route
from infra.gateway.forward import ClientStalled, Outgoing, Trace, forward
from infra.gateway.gone import ClientGone, until_gone
from infra.gateway.lists import Lists
from infra.gateway.messages import Message
from infra.gateway.outgoing import passed_headers, request_body, request_headers
from infra.gateway.policy import DomainPolicy
from infra.gateway.spans import FIELDS, span

KINDS = {
    "tools/call": "tool",
    "prompts/get": "prompt",
    "resources/read": "resource",
    "completion/complete": "completion",
}
Headers = Mapping[str, str]


class Calls:
    """Passes requests on to domains."""

    def __init__(self, runtime: Runtime, domains: Domains, lists: Lists, policy: DomainPolicy) -> None:
        self._runtime = runtime
        self._domains = domains
        self._lists = lists
        self._policy = policy
        self._in_flight = runtime.metrics.in_flight.labels(runtime.name)
        self._spans = runtime.settings.otlp_endpoint is not None

    async def serve(self, message: Message, headers: Headers, caller: Caller, receive: Receive, send: Send) -> None:
        """Answer the request, whatever happens; what happened is recorded without arguments, which the domain has."""
        call = Call(request_id.get(), KINDS[message.method], _wanted(message))
        with self._runtime.traces.recorded(call.request_id, "gateway", call.action) as seen:
            seen.tenant, seen.subject = caller.principal.tenant, caller.principal.subject
            try:
                await self._served(message, headers, caller, receive, send, call)
            finally:
                seen.outcome = call.outcome

    async def _served(
        self, message: Message, headers: Headers, caller: Caller, receive: Receive, send: Send, call: Call
    ) -> None:
        trace, answer = Trace(), Answer(send, message)
        route = self._domains.route(message)
        self._in_flight.inc()
        try:
            async with until_gone(receive, lambda: answer.complete):
                await self._decided(route, message, headers, caller, answer, trace, call)
            call.outcome = answer.outcome
        except AppError as error:
            call.outcome = error.code
            await answer.fail(str(error))
        except ClientGone:
            call.outcome = "cancelled"
        except ClientStalled:
            call.outcome = "cancelled"
            # The server closes the connection: half of an answer is out.
            raise ConnectionAbortedError("the client does not read") from None
        except BaseException:
            call.outcome = "error"
            raise
        finally:
            self._in_flight.dec()
            self._record(call, caller, route, trace)

    async def limit(self, caller: Caller, what: str) -> None:
        """One budget for each person and domain. Raises RateLimited."""
        who = caller.principal
        wait = await self._runtime.limiter.acquire(f"gateway/{what}/{who.tenant}/{who.subject}")
        if wait:
            raise RateLimited("Too many calls.", "Ask for more at once, or slow down.", retry_after=wait)

    async def _decided(
        self,
        route: Route | None,
        message: Message,
        headers: Headers,
        caller: Caller,
        answer: Answer,
        trace: Trace,
        call: Call,
    ) -> None:
        if route is None:
            raise _unknown(message)
        prefix = route.domain.prefix
        # The first round of a confirmation has paid for both; the second has a budget of its own.
        await self.limit(caller, f"{prefix}/answers" if "requestState" in message.params else prefix)
        if not self._policy.allows(caller.principal, call.kind, prefix, route.name):
            raise _unknown(message)
        repeatable, call.known = self._facts(route, message, caller)
        if not self._runtime.audit.healthy and not repeatable:
            raise AuditUnavailable
        if not self._spans:
            return await self._pass_on(route, message, headers, caller, answer, trace, repeatable)
        given = {**{name: headers[name] for name in FIELDS if name in headers}, **_traced(message.meta)}
        with span(f"{message.method} {prefix}", given, {"domain": prefix, "request.id": call.request_id}) as carrier:
            told = Route(route.domain, route.name, {**route.params, "_meta": {**message.meta, **carrier}})
            await self._pass_on(told, message, {**headers, **carrier}, caller, answer, trace, repeatable)

    async def _pass_on(
        self,
        route: Route,
        message: Message,
        headers: Headers,
        caller: Caller,
        answer: Answer,
        trace: Trace,
        repeatable: bool,
    ) -> None:
        domain = route.domain
        domain.check_accepts(caller.digest)
        era = await era_of(domain, caller)
        token = await domain.passport.token(caller)
        try:
            sent = request_headers(era, message.method, route.params, token, request_id.get(), caller.address)
            body = request_body(era, message.id, message.method, route.params)
        except ValueError:
            raise InvalidInput("The request has a number or a character that JSON does not have.") from None
        if era == "modern":
            sent |= passed_headers(message, headers)
        answer.upgrade = era == "legacy" and message.era == "modern"
        outgoing = Outgoing(sent, body, caller.principal.tenant, repeatable)
        try:
            await forward(domain, outgoing, answer.deliver, trace)
        except Refusal:
            raise domain.refused(caller.digest) from None

    def _facts(self, route: Route, message: Message, caller: Caller) -> tuple[bool, bool]:
        """Whether it may be sent twice, and whether its name may be a label of a metric."""
        catalogue = self._lists.of(route.domain)
        if message.method != "tools/call":
            return True, message.method != "prompts/get" or route.name in catalogue.names
        listing = catalogue.known(caller)
        hints = (listing.tools.get(route.name, {}) if listing else {}).get("annotations")
        repeatable = isinstance(hints, dict) and (
            hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True
        )
        return repeatable, route.name in catalogue.names

    def _record(self, call: Call, caller: Caller, route: Route | None, trace: Trace) -> None:
        if call.kind in ("resource", "completion"):
            label = f"{route.domain.prefix}:{call.kind}" if route else "other"
        else:
            label = call.label
        self._runtime.metrics.observe(call.kind, label, call.outcome, call.seconds)
        detail: dict[str, Any] = {"ms": round(call.seconds * 1000, 2), "tries": trace.tries, "replica": trace.replica}
        who = {"subject": caller.principal.subject, "tenant": caller.principal.tenant}
        record = AuditRecord("event", call.action, call.request_id, **who, outcome=call.outcome, detail=detail)
        # The domain has recorded the call before it did anything; a gap here is visible there.
        with contextlib.suppress(AuditUnavailable):
            self._runtime.audit.append(record)


def _wanted(message: Message) -> str:
    """What the client calls it; `prompt:` and `resource:` tell kinds apart, as in the domains' own records."""
    if message.method == "tools/call":
        return str(message.params.get("name"))[:200]
    if message.method == "prompts/get":
        return f"prompt:{message.params.get('name')}"[:200]
    return "read_resource" if message.method == "resources/read" else "complete"


def _unknown(message: Message) -> NotFound:
    name = message.params.get("uri" if message.method == "resources/read" else "name")
    return NotFound(f"Unknown {KINDS[message.method]}: {str(name)[:200]!r}")


def _traced(meta: Mapping[str, Any]) -> dict[str, str]:
    return {name: meta[name] for name in FIELDS if isinstance(meta.get(name), str)}
