"""The steps every call goes through, outermost first:

request id -> metrics -> errors -> identity -> audit -> rate limit -> policy -> deadline -> tool

so that denied, throttled and failed calls are counted and audited too.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastmcp.exceptions import FastMCPError, NotFoundError, PromptError, ResourceError, ToolError, ValidationError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import InputRequiredToolResult
from mcp import MCPError
from mcp.types import INVALID_PARAMS
from pydantic import ValidationError as PydanticValidationError

from common.confirm import first_request_id
from common.errors import AppError, RateLimited
from common.observability.call import Call, current_call, new_request_id, request_id
from common.observability.metrics import Metrics
from common.observability.traces import Traces, step
from common.resilience.deadline import deadline
from common.resilience.rate_limit import RateLimiter
from common.security.audit import AuditLog, AuditRecord, AuditUnavailable
from common.security.identity import caller_from_request
from common.security.policy import ToolPolicy
from common.security.principal import Principal, current_principal

log = structlog.get_logger(__name__)
Context = MiddlewareContext[Any]
Next = CallNext[Any, Any]

CALLS = {"tools/call": "tool", "resources/read": "resource", "prompts/get": "prompt"}
ERRORS = {"tools/call": ToolError, "resources/read": ResourceError, "prompts/get": PromptError}
LISTS = {"tools/list", "resources/list", "resources/templates/list", "prompts/list"}
MISSING = "Missing required arguments"
"""How FastMCP begins the ValueError for a prompt without an argument; the rest are the names of arguments."""
REQUEST_FAILED = -32000
"""JSON-RPC code for a request that failed outside of a tool."""


class Step(Middleware):
    """Sees calls and lists; everything else (handshake, notifications) passes."""

    async def __call__(self, context: Context, call_next: Next) -> Any:
        if context.method in CALLS:
            return await self.on_call(context, call_next)
        if context.method in LISTS:
            return await self.on_list(context, call_next)
        return await call_next(context)

    async def on_call(self, context: Context, call_next: Next) -> Any:
        return await call_next(context)

    async def on_list(self, context: Context, call_next: Next) -> Any:
        return await call_next(context)


def field(context: Context, name: str) -> Any:
    """A field of the request. One that was refused before it was parsed passes here too, as it came: a mapping."""
    message = context.message
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name)


def action_of(context: Context) -> str:
    """The policy action of a call: the tool's name, `prompt:` and the prompt's name, or `read_resource`."""
    if context.method == "resources/read":
        return "read_resource"
    name = str(field(context, "name"))
    return name if context.method == "tools/call" else f"prompt:{name}"


def first_round_of(context: Context) -> str | None:
    """The request id under which the question was asked that this call answers. A mapping's seal did not fit."""
    return first_request_id(getattr(context.message, "request_state", None))


def outcome_of(error: BaseException) -> str:
    """One word for what went wrong."""
    for candidate in (error, error.__cause__):
        if isinstance(candidate, AppError):
            return candidate.code
    is_refused = isinstance(error, MCPError) and error.error.code == INVALID_PARAMS
    if is_refused or isinstance(error, ValidationError | PydanticValidationError):
        return "invalid_input"
    if isinstance(error, PromptError) and isinstance(error.__cause__, ValueError):
        return "invalid_input"
    return "unknown" if isinstance(error, NotFoundError) else "error"


class RequestIdStep(Step):
    """Makes the call known to everything inside. The answer to a question belongs to the request that asked."""

    async def on_call(self, context: Context, call_next: Next) -> Any:
        identifier = first_round_of(context) or request_id.get() or new_request_id()
        token = request_id.set(identifier)
        call_token = current_call.set(Call(identifier, CALLS[str(context.method)], action_of(context)))
        try:
            return await call_next(context)
        finally:
            current_call.reset(call_token)
            request_id.reset(token)


class MetricsStep(Step):
    """Times every call, and what is a step of it."""

    def __init__(self, metrics: Metrics, traces: Traces) -> None:
        self.metrics = metrics
        self.traces = traces
        self.in_flight = metrics.in_flight.labels(metrics.server)

    async def on_call(self, context: Context, call_next: Next) -> Any:
        call = current_call.get()
        assert call is not None  # noqa: S101 - RequestIdStep is outside of this one
        self.in_flight.inc()
        with self.traces.recorded(call.request_id, "server", call.action) as trace:
            try:
                return await call_next(context)
            finally:
                self.in_flight.dec()
                self.metrics.observe(call.kind, call.label, call.outcome, call.seconds)
                self.metrics.observe_subject(call.tenant, call.subject, call.outcome)
                trace.tenant, trace.subject, trace.outcome = call.tenant, call.subject, call.outcome


class ErrorStep(Step):
    """Says what the caller may know, and logs the rest under the request id."""

    async def on_call(self, context: Context, call_next: Next) -> Any:
        call = current_call.get()
        try:
            result = await call_next(context)
        except Exception as error:
            if call:
                call.outcome = outcome_of(error)
            raise self._visible(error, context, call) from error
        if call:
            call.outcome = _outcome(result)
        return result

    async def on_list(self, context: Context, call_next: Next) -> Any:
        try:
            return await call_next(context)
        except Exception as error:
            raise self._visible(error, context, None) from error

    def _visible(self, error: Exception, context: Context, call: Call | None) -> Exception:
        kind, action = ERRORS.get(str(context.method), _failed), call.action if call else context.method
        for candidate in (error, error.__cause__):
            if isinstance(candidate, AppError):
                log.info("call.failed", action=action, outcome=candidate.code)
                return kind(str(candidate))
            if isinstance(candidate, PydanticValidationError) and isinstance(error, ValidationError | PromptError):
                return kind(describe_validation(candidate))
            if kind is PromptError and str(candidate).startswith(MISSING):
                return kind(f"{candidate}. Give them, and ask again.")
        if isinstance(error, NotFoundError | MCPError):
            return error
        if isinstance(error, FastMCPError) and error.__cause__ is None:
            return error
        identifier = request_id.get() or new_request_id()  # a list over stdio has none
        log.error("call.error", action=action, request_id=identifier, exc_info=error)
        return kind(f"Internal error. The operator finds it in the log under request id {identifier}.")


def _failed(message: str) -> MCPError:
    # Of any other kind an older client is told the text of what went wrong.
    return MCPError(code=REQUEST_FAILED, message=message)


def describe_validation(error: PydanticValidationError) -> str:
    """Which argument is wrong and why, without its value."""
    items = error.errors(include_url=False, include_input=False, include_context=False)
    parts = [f"{'.'.join(str(part) for part in item['loc']) or 'arguments'}: {item['msg']}" for item in items[:5]]
    return f"Invalid arguments: {'; '.join(parts)}. Correct them and call again."


class IdentityStep(Step):
    """Puts the caller where everything inside finds it."""

    def __init__(self, stdio: Principal | None = None) -> None:
        self.stdio = stdio

    async def _as_caller(self, context: Context, call_next: Next) -> Any:
        principal, call = caller_from_request(self.stdio), current_call.get()
        if call:
            call.tenant, call.subject = principal.tenant, principal.subject
        token = current_principal.set(principal)
        try:
            return await call_next(context)
        finally:
            current_principal.reset(token)

    on_call = _as_caller
    on_list = _as_caller


class AuditStep(Step):
    """Intent before, outcome after. A call that may change something waits until its record is durable."""

    def __init__(self, audit: AuditLog) -> None:
        self.audit = audit
        self._read_only: dict[str, bool] = {}

    async def on_call(self, context: Context, call_next: Next) -> Any:
        call, principal = current_call.get(), current_principal.get()
        assert call is not None  # noqa: S101 - RequestIdStep is outside of this one
        durable = not await self._reads_only(context, call)
        who = {"subject": principal.subject, "tenant": principal.tenant}
        await self._record(AuditRecord("intent", call.action, call.request_id, **who, detail=_what(context)), durable)
        outcome = "ok"
        try:
            result = await call_next(context)
            outcome = _outcome(result)
            return result
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            detail = {"ms": round(call.seconds * 1000, 2)}
            record = AuditRecord("outcome", call.action, call.request_id, **who, outcome=outcome, detail=detail)
            # The work is done: to report a failure now would be wrong, and an intent without outcome is visible.
            with contextlib.suppress(AuditUnavailable):
                await self._record(record, durable)

    async def _record(self, record: AuditRecord, durable: bool) -> None:
        if durable:
            await self.audit.write(record)
        else:
            self.audit.append(record)

    async def _reads_only(self, context: Context, call: Call) -> bool:
        if call.kind != "tool":
            return True
        if call.action not in self._read_only:
            if context.fastmcp_context is None:
                return False
            tool = await context.fastmcp_context.fastmcp.get_tool(call.action)
            if tool is None:
                return True  # nothing will run
            self._read_only[call.action] = bool(tool.annotations and tool.annotations.read_only_hint)
        return self._read_only[call.action]


def _outcome(result: Any) -> str:
    if isinstance(result, InputRequiredToolResult):
        return "input_required"
    return "error" if getattr(result, "is_error", False) else "ok"


def _what(context: Context) -> dict[str, Any]:
    if context.method == "resources/read":
        return {"uri": str(field(context, "uri"))}
    arguments: dict[str, Any] = {"arguments": field(context, "arguments") or {}}
    if first_round_of(context):
        arguments["round"] = 2
    return arguments if context.method == "tools/call" else {"prompt": field(context, "name"), **arguments}


class RateLimitStep(Step):
    """One budget per person, over tools, resources, prompts and lists. A question and its answer are one call."""

    def __init__(self, limiter: RateLimiter) -> None:
        self.limiter = limiter

    async def _limited(self, context: Context, call_next: Next) -> Any:
        principal = current_principal.get()
        key = f"{principal.tenant}/{principal.subject}"
        # The first round has paid for both; the second has a budget of its own, so that nobody replays for free.
        with step("limits", "budget of the caller"):
            wait = await self.limiter.acquire(f"{key}/answers" if first_round_of(context) else key)
        if wait:
            raise RateLimited("Too many calls.", "Ask for more at once, or slow down.", retry_after=wait)
        return await call_next(context)

    on_call = _limited
    on_list = _limited


class PolicyStep(Step):
    """What policy does not permit is neither listed nor callable, and looks as if it did not exist."""

    def __init__(self, policy: ToolPolicy) -> None:
        self.policy = policy

    async def on_call(self, context: Context, call_next: Next) -> Any:
        call = current_call.get()
        if not self.policy.allows(current_principal.get(), action_of(context)):
            raise self._unknown(context)
        if call:
            call.known = True
        return await call_next(context)

    def _unknown(self, context: Context) -> NotFoundError:
        if context.method == "tools/call":
            return NotFoundError(f"Unknown tool: {field(context, 'name')!r}")
        name = field(context, "uri" if context.method == "resources/read" else "name")
        return NotFoundError(f"Unknown {CALLS[str(context.method)]}: {str(name)!r}")

    async def on_list(self, context: Context, call_next: Next) -> Any:
        items: Sequence[Any] = await call_next(context)
        principal = current_principal.get()
        if context.method == "tools/list":
            return [tool for tool in items if self.policy.allows(principal, tool.name)]
        if context.method == "prompts/list":
            return [prompt for prompt in items if self.policy.allows(principal, f"prompt:{prompt.name}")]
        return items if self.policy.allows(principal, "read_resource") else []


class DeadlineStep(Step):
    """Bounds every call."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def on_call(self, context: Context, call_next: Next) -> Any:
        async with deadline(self.seconds):
            return await call_next(context)
