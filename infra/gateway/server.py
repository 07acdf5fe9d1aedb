"""The gateway's ASGI application: `/mcp` by itself, on the edge that every server of the suite has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Route

from common.console.app import console_routes
from common.errors import SettingsError
from common.runtime import build_runtime
from common.server import surround
from common.settings import CommonSettings, load_settings
from common.vertical import Served
from infra.gateway.bootstrap import Gateway, build_gateway, opened
from infra.gateway.calls import Calls
from infra.gateway.console import TEMPLATES, domains_page
from infra.gateway.endpoint import Endpoint
from infra.gateway.settings import GatewaySettings

NAME = "gateway"
CONSOLE_POLICY = Path(__file__).parent / "policies" / "console.cedar"


def build(common: CommonSettings, base_url: str, stdio: bool = False) -> Served:
    """The gateway, wired; connections are opened when it starts. Raises SettingsError."""
    if stdio:
        raise SettingsError("The gateway serves HTTP alone; over stdio connect to a domain's own server")
    served, _ = assemble(common, load_settings(GatewaySettings), base_url)
    return served


def assemble(common: CommonSettings, settings: GatewaySettings, base_url: str) -> tuple[Served, Gateway]:
    """The application, and the parts that it is made of. Raises SettingsError."""
    runtime = build_runtime(NAME, common, [CONSOLE_POLICY])
    gateway = build_gateway(settings, runtime)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with runtime.opened(), opened(gateway):
            yield

    metadata = f"{(common.public_url or base_url).rstrip('/')}/.well-known/oauth-protected-resource/mcp"
    calls = Calls(runtime, gateway.domains, gateway.lists, gateway.policy)
    endpoint = Endpoint(runtime.credentials, calls, gateway.lists, metadata)
    app = Starlette(routes=[Route("/mcp", endpoint)], lifespan=lifespan)
    pages = console_routes(runtime, [domains_page(list(gateway.domains))], [TEMPLATES])
    surround(app, runtime, base_url, pages)
    return Served(app, None, runtime), gateway
