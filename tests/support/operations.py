"""A DevOps server over the simulated cluster, served through its real ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer

from common.runtime import Runtime
from common.security.principal import Principal
from common.settings import Classification, CommonSettings
from devops.server import build

URL = "http://127.0.0.1:8002"
PRODUCTION = "production"


@dataclass
class Served:
    """The running server, and how to sign in."""

    runtime: Runtime
    asgi: ASGIServer

    def client(self, principal: Principal, mode: str = "auto") -> Any:
        """An MCP client that acts as this principal."""
        rights = (sorted(principal.roles), sorted(principal.groups), principal.clearance)
        _, token = self.runtime.credentials.api_keys.create(principal.subject, principal.tenant, *rights)
        return self.asgi.client(auth=token, mode=mode)


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """The server; `settings` are those of TRIPTYCH_*."""
    given = {"data_dir": folder, "rate_limit_per_second": 1000, "rate_limit_burst": 1000, **settings}
    built = build(CommonSettings(**given), URL)
    async with run_asgi_lifespan(built.app):
        yield Served(built.runtime, ASGIServer(f"{URL}/mcp", built.app, "http"))


def person(
    name: str = "alice",
    role: str = "user",
    group: str = "engineering",
    tenant: str = "local",
    clearance: Classification = "internal",
) -> Principal:
    return Principal(name, tenant, frozenset({role}), frozenset({group}), clearance)


async def ask(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured answer of a tool."""
    answer: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content
    return answer
