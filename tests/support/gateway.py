"""The gateway with real domain servers behind it, which listen on loopback ports of this process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastmcp import Context, FastMCP
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer
from mcp.types import InputRequiredResult, ToolAnnotations

from common.confirm import Confirmations, Question
from common.errors import Conflict
from common.observability.call import request_id
from common.runtime import Runtime, build_runtime
from common.security.api_keys import ApiKeyStore, api_keys_path
from common.security.principal import current_principal
from common.server import build_app, build_server
from common.settings import Classification, CommonSettings
from infra.gateway.bootstrap import Gateway
from infra.gateway.server import assemble
from infra.gateway.settings import GatewaySettings

POLICY = """
permit (principal, action, resource) when { principal.roles.contains("user") };
forbid (principal, action == Action::"change", resource) unless { principal.roles.contains("editor") };
"""
READS = ToolAnnotations(readOnlyHint=True)
HOST = "127.0.0.1"
URL = f"http://{HOST}:8000"


@dataclass
class DomainServer:
    """A running domain server, and what its tools saw."""

    prefix: str
    number: int
    url: str
    runtime: Runtime
    seen: list[dict[str, Any]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, tool: str) -> None:
        principal = current_principal.get()
        self.seen.append({"tool": tool, "subject": principal.subject, "request_id": request_id.get()})


def _add_tools(server: FastMCP[Any], domain: DomainServer, confirmations: Confirmations) -> None:
    @server.tool(annotations=READS)
    async def echo(text: str) -> str:
        domain.note("echo")
        return text

    @server.tool(annotations=READS)
    async def where() -> dict[str, Any]:
        domain.note("where")
        principal = current_principal.get()
        return {"domain": domain.prefix, "replica": domain.number, "subject": principal.subject}

    @server.tool(annotations=READS)
    async def much(megabytes: int) -> str:
        return "m" * (megabytes * 2**20)

    @server.tool(annotations=READS)
    async def fail() -> str:
        raise Conflict("Somebody was faster.", "Read it again.")

    @server.tool
    async def change(name: str) -> str:
        domain.changed.append(name)
        return name

    @server.tool(annotations=READS)
    async def steps(context: Context) -> str:
        """Reports, waits until it is let go, and reports again."""
        await context.report_progress(1, 2, "first")
        await domain.go.wait()
        await context.report_progress(2, 2, "second")
        return "done"

    @server.tool
    async def wipe(name: str, context: Context) -> str | InputRequiredResult:
        async def prepare() -> Question:
            return Question(name, f"Wipe {name}?")

        answer = await confirmations.confirm(context, prepare)
        return answer if isinstance(answer, InputRequiredResult) else f"{answer.about}: {answer.verdict}"

    @server.resource(f"{domain.prefix}://greeting")
    def greeting() -> str:
        return f"hello from {domain.prefix}"

    @server.resource(f"{domain.prefix}://notes/{{name}}")
    def note(name: str) -> str:
        return f"{domain.prefix} note {name}"

    @server.prompt
    def ask(topic: str) -> str:
        return f"{domain.prefix} on {topic}"


def domain_app(folder: Path, domain: DomainServer) -> Any:
    """Its whole ASGI application."""

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        async with domain.runtime.opened():
            await confirmations.open()
            yield {}

    confirmations = Confirmations(domain.runtime.engine)
    server = build_server(domain.runtime, f"The domain {domain.prefix}.", lifespan, domain.url)
    _add_tools(server, domain, confirmations)
    return build_app(server, domain.runtime, domain.url)


@asynccontextmanager
async def listening(app: Any, port: int = 0) -> AsyncIterator[int]:
    """Serve the application on a loopback port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        # Without its signal handlers, which belong to pytest here.
        running = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            while not server.started and not running.done():
                await asyncio.sleep(0.005)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def domain_server(
    folder: Path, prefix: str, number: int = 1, port: int = 0, **settings: Any
) -> AsyncIterator[DomainServer]:
    """One replica; those of one folder share keys and database."""
    policy = folder / f"{prefix}.cedar"
    policy.write_text(POLICY)
    given = {"data_dir": folder, "rate_limit_per_second": 1000, "rate_limit_burst": 1000, **settings}
    domain = DomainServer(prefix, number, "", build_runtime(prefix, CommonSettings(**given), [policy]))
    async with listening(domain_app(folder, domain), port) as port:
        domain.url = f"http://{HOST}:{port}"
        yield domain


@dataclass
class Site:
    """A running gateway, with the domain servers that run here, too."""

    runtime: Runtime
    gateway: Gateway
    asgi: ASGIServer
    servers: Mapping[str, Sequence[DomainServer]]

    def token(
        self, owner: str = "alice", *roles: str, tenant: str = "acme", clearance: Classification = "internal"
    ) -> str:
        """An API key that all servers take."""
        store = self.runtime.credentials.api_keys
        return store.create(owner, tenant, list(roles or ("user",)), [], clearance)[1]

    def client(self, token: str, mode: str = "auto", **more: Any) -> Any:
        return self.asgi.client(auth=token, mode=mode, **more)


def gateway_settings(domains: Mapping[str, Sequence[str]], **more: Any) -> GatewaySettings:
    urls = {prefix: [f"{url}/mcp" for url in each] for prefix, each in domains.items()}
    return GatewaySettings(**{"domains": urls, "health_seconds": 0.1, **more})


@asynccontextmanager
async def gateway_in_front(
    folder: Path,
    domains: Mapping[str, Sequence[str]],
    servers: Mapping[str, Sequence[DomainServer]] | None = None,
    common: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Site]:
    """A gateway in front of servers at these addresses; `settings` are those of GATEWAY_*."""
    given = {"data_dir": folder, "rate_limit_per_second": 1000, "rate_limit_burst": 1000, **(common or {})}
    served, gateway = assemble(CommonSettings(**given), gateway_settings(domains, **settings), URL)
    async with run_asgi_lifespan(served.app):
        yield Site(served.runtime, gateway, ASGIServer(f"{URL}/mcp", served.app, "http"), servers or {})


@asynccontextmanager
async def site(folder: Path, replicas: Mapping[str, int] | None = None, **settings: Any) -> AsyncIterator[Site]:
    """A gateway in front of so many replicas of each domain, all running here."""
    async with AsyncExitStack() as stack:
        servers = {
            prefix: [
                await stack.enter_async_context(domain_server(folder, prefix, number)) for number in range(1, count + 1)
            ]
            for prefix, count in (replicas or {"kb": 1, "devops": 1}).items()
        }
        urls = {prefix: [each.url for each in found] for prefix, found in servers.items()}
        yield await stack.enter_async_context(gateway_in_front(folder, urls, servers, **settings))


def keys(folder: Path) -> ApiKeyStore:
    return ApiKeyStore(api_keys_path(CommonSettings(data_dir=folder)))
