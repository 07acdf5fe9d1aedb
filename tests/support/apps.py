"""A small server with the whole stack, served in process through its real ASGI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastmcp import FastMCP
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer
from mcp.types import ToolAnnotations
from pydantic import Field

from common.errors import Conflict
from common.resilience.deadline import remaining
from common.runtime import Runtime, build_runtime
from common.security.principal import current_principal
from common.server import build_app, build_server
from common.settings import Classification, CommonSettings

POLICY = """
permit (
  principal,
  action in [
    Action::"echo", Action::"whoami", Action::"fail", Action::"wait", Action::"process", Action::"read_resource"
  ],
  resource == Server::"small"
) when { principal.roles.contains("user") };
permit (principal, action == Action::"change", resource == Server::"small")
when { principal.roles.contains("editor") && principal.clearance >= 2 };
"""
URL = "http://127.0.0.1:8001"
SECRET = "hunter2-hunter2"


@dataclass
class Small:
    """The running server and handles on its inside."""

    runtime: Runtime
    asgi: ASGIServer
    changed: list[str]

    def token(
        self,
        owner: str = "alice",
        roles: tuple[str, ...] = ("user",),
        clearance: Classification = "internal",
        tenant: str = "acme",
    ) -> str:
        """An API key."""
        return self.runtime.credentials.api_keys.create(owner, tenant, list(roles), [], clearance)[1]

    def client(self, token: str, mode: str = "auto", **more: Any) -> Any:
        """An MCP client that signs in with the token."""
        return self.asgi.client(auth=token, mode=mode, **more)


def add_tools(server: FastMCP[Any], changed: list[str]) -> None:
    """One tool for each thing that a call can do."""

    @server.tool(annotations=ToolAnnotations(readOnlyHint=True))
    async def echo(text: str, count: Annotated[int, Field(ge=1, le=3)] = 1) -> str:
        return text * count

    @server.tool(annotations=ToolAnnotations(readOnlyHint=True))
    async def whoami() -> dict[str, Any]:
        principal = current_principal.get()
        return {"subject": principal.subject, "tenant": principal.tenant, "clearance": principal.clearance}

    @server.tool(annotations=ToolAnnotations(readOnlyHint=True))
    async def fail(how: str) -> str:
        if how == "conflict":
            raise Conflict("Somebody was faster.", "Read it again.")
        raise RuntimeError(f"the password of the database is {SECRET}")

    @server.tool(annotations=ToolAnnotations(readOnlyHint=True))
    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return remaining(100)

    @server.tool
    async def change(name: str) -> str:
        changed.append(name)
        return name

    @server.resource("small://greeting")
    def greeting() -> str:
        return "hello"


@asynccontextmanager
async def small_server(folder: Path, **settings: Any) -> AsyncIterator[Small]:
    """The server, open; settings are those of TRIPTYCH_*."""
    policy = folder / "policy.cedar"
    policy.write_text(POLICY)
    given = {"data_dir": folder, "rate_limit_per_second": 1000, "rate_limit_burst": 1000, **settings}
    runtime = build_runtime("small", CommonSettings(**given), [policy])

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        async with runtime.opened():
            yield {}

    changed: list[str] = []
    server = build_server(runtime, "A small server.", lifespan, URL)
    add_tools(server, changed)
    app = build_app(server, runtime, URL)
    async with run_asgi_lifespan(app):
        yield Small(runtime, ASGIServer(f"{URL}/mcp", app, "http"), changed)
