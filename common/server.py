"""Builds a FastMCP server with the whole stack, and the ASGI application around it."""

import contextlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.http import HostOriginGuardMiddleware
from fastmcp.tools import Tool
from mcp.server.request_state import RequestStateSecurity
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from common import middleware as steps
from common.edge import OnFailure, RequestId, RequestSizeLimit, SignInGuard, WebSocketGuard
from common.runtime import Runtime
from common.security.audit import AuditRecord, AuditUnavailable
from common.security.identity import build_auth, resource_metadata
from common.security.principal import Principal
from common.security.request_state import RequestStates

LOOPBACK = {"127.0.0.1", "::1"}


def call_steps(runtime: Runtime, stdio: Principal | None = None) -> list[steps.Step]:
    """The middleware, outermost first: the one order of the suite."""
    return [
        steps.RequestIdStep(),
        steps.MetricsStep(runtime.metrics, runtime.traces),
        steps.ErrorStep(),
        steps.IdentityStep(stdio),
        steps.AuditStep(runtime.audit),
        steps.RateLimitStep(runtime.limiter),
        steps.PolicyStep(runtime.policy),
        steps.DeadlineStep(runtime.settings.tool_timeout_seconds),
    ]


def build_server(
    runtime: Runtime, instructions: str, lifespan: Any, base_url: str, stdio: bool = False
) -> FastMCP[Any]:
    """A server without tools yet. `stdio` lets calls without a token act as the identity of the settings."""
    return FastMCP(
        f"triptych-{runtime.name}",
        instructions=instructions,
        version=version("triptych"),
        auth=None if stdio else build_auth(runtime.settings, runtime.credentials, base_url),
        middleware=call_steps(runtime, runtime.stdio_principal if stdio else None),
        lifespan=lifespan,
        mask_error_details=True,
        # Every replica can open what another one sealed.
        request_state_security=RequestStateSecurity(codec=RequestStates(runtime.key)),
    )


def publish_schemas(server: FastMCP[Any], tools: Sequence[Tool]) -> None:
    """Tell the SDK the tools' schemas, which it checks `Mcp-Param-*` headers against.

    Without them it lists all tools, through the whole stack, before each modern call.
    """
    schemas = {tool.name: tool.parameters for tool in tools}
    server._mcp_server.get_tool_input_schema = schemas.get


def build_app(
    server: FastMCP[Any],
    runtime: Runtime,
    base_url: str,
    pages: Sequence[BaseRoute] = (),
    larger_bodies: Mapping[str, int] | None = None,
) -> Starlette:
    """The ASGI application: `/mcp` for both protocol eras, health, metrics, and the console pages.

    `larger_bodies` are the paths that take more bytes than the settings allow elsewhere.
    """
    app = server.http_app(path="/mcp", stateless_http=True, host_origin_protection=False)
    surround(app, runtime, base_url, pages, larger_bodies)
    serve = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with serve(app):
            publish_schemas(server, await server.list_tools(run_middleware=False))
            yield

    app.router.lifespan_context = lifespan
    return app


def surround(
    app: Starlette,
    runtime: Runtime,
    base_url: str,
    pages: Sequence[BaseRoute] = (),
    larger_bodies: Mapping[str, int] | None = None,
) -> None:
    """Put around an application that serves `/mcp` what every server has: guards, metadata, health, metrics, pages."""
    # In the same application, not around it: a second one would cost each call a tenth of a millisecond.
    app.router.routes[:0] = _metadata(runtime, base_url)
    app.router.routes.extend([*_operations(runtime), *pages])
    for guard in reversed(_guards(runtime, larger_bodies)):
        app.add_middleware(guard.cls, *guard.args, **guard.kwargs)


def _guards(runtime: Runtime, larger_bodies: Mapping[str, int] | None) -> list[Middleware]:
    """What stands before everything else, outermost first."""
    settings = runtime.settings
    hosts, origins = settings.accepted_hosts, settings.accepted_origins
    return [
        Middleware(RequestId),
        Middleware(HostOriginGuardMiddleware, allowed_hosts=hosts, allowed_origins=origins, mode="strict"),
        Middleware(WebSocketGuard, allowed_hosts=hosts, allowed_origins=origins),
        Middleware(RequestSizeLimit, max_bytes=settings.max_request_bytes, larger=larger_bodies),
        Middleware(
            SignInGuard,
            failures=runtime.failures,
            on_failure=_record_failure(runtime),
        ),
    ]


def _record_failure(runtime: Runtime) -> OnFailure:
    async def record(address: str, request_id: str, path: str) -> None:
        runtime.metrics.sign_in_failures.labels(runtime.name).inc()
        detail = {"address": address, "path": path}
        with contextlib.suppress(AuditUnavailable):
            runtime.audit.append(AuditRecord("event", "sign_in", request_id, outcome="denied", detail=detail))

    return record


def _operations(runtime: Runtime) -> list[BaseRoute]:
    async def live(_: Request) -> Response:
        return JSONResponse({"status": "alive", "server": runtime.name})

    async def ready(_: Request) -> Response:
        is_ready, report = await runtime.health.readiness()
        return JSONResponse({"server": runtime.name, **report}, status_code=200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        if not _may_scrape(request, runtime):
            return JSONResponse({"error": "Send the token of TRIPTYCH_METRICS_TOKEN as bearer token"}, status_code=403)
        return PlainTextResponse(await runtime.metrics.exposition(), media_type="text/plain; version=0.0.4")

    return [Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", metrics)]


def _metadata(runtime: Runtime, base_url: str) -> list[BaseRoute]:
    async def metadata(_: Request) -> Response:
        return JSONResponse(resource_metadata(runtime.settings, base_url))

    path = "/.well-known/oauth-protected-resource"
    return [Route(path, metadata), Route(f"{path}/mcp", metadata)]


def _may_scrape(request: Request, runtime: Runtime) -> bool:
    token = runtime.settings.metrics_token
    if token is None:
        return request.client is not None and request.client.host in LOOPBACK
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), token.get_secret_value().encode())
