"""A small server with its console, and a browser for it."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastmcp import FastMCP
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer

from common.console.app import Page, console_routes
from common.runtime import Runtime, build_runtime
from common.server import build_app, build_server
from common.settings import CommonSettings
from tests.support.apps import POLICY, URL, add_tools
from tests.support.audit import until


@dataclass
class Site:
    """The running server, and what is needed to visit it."""

    runtime: Runtime
    asgi: ASGIServer

    def key(self, owner: str = "ada", *roles: str, tenant: str = "acme") -> str:
        """An API key."""
        return self.runtime.credentials.api_keys.create(owner, tenant, list(roles or ("auditor",)), [])[1]

    def browser(self, url: str = URL) -> httpx2.AsyncClient:
        """Somebody who is not signed in."""
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.asgi.app), base_url=url)

    async def signed_in(self, token: str) -> httpx2.AsyncClient:
        """Somebody who is."""
        browser = self.browser()
        answer = await sign_in(browser, token)
        assert answer.status_code == 303, answer.text
        return browser

    async def call(self, token: str, tool: str, **arguments: Any) -> None:
        """A real call through MCP, whatever becomes of it."""
        async with self.asgi.client(auth=token) as client:
            await client.call_tool(tool, arguments, raise_on_error=False)

    async def settled(self) -> None:
        """Wait until everything recorded so far can be read."""
        await until(lambda: not self.runtime.audit.backlog)


@asynccontextmanager
async def console_site(
    folder: Path, pages: Sequence[Page] = (), templates: Sequence[Path] = (), policy: str = "", **settings: Any
) -> AsyncIterator[Site]:
    """The server, open; settings are those of TRIPTYCH_*."""
    file = folder / "policy.cedar"
    file.write_text(POLICY + policy)
    given = {"data_dir": folder, "sign_in_failures_per_minute": 100, **settings}
    runtime = build_runtime("small", CommonSettings(**given), [file])

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        async with runtime.opened():
            yield {}

    server = build_server(runtime, "A small server.", lifespan, URL)
    add_tools(server, [])
    app = build_app(server, runtime, URL, console_routes(runtime, pages, templates))
    async with run_asgi_lifespan(app):
        yield Site(runtime, ASGIServer(f"{URL}/mcp", app, "http"))


async def sign_in(browser: httpx2.AsyncClient, token: str, target: str = "", **headers: str) -> httpx2.Response:
    """Fill in the form."""
    return await browser.post("/console/sign-in", data={"key": token, "next": target}, headers=headers)


def form_token(page: httpx2.Response, action: str) -> str:
    """The token of the form on this page that is sent to `action`."""
    form = re.search(rf'<form method="post" action="{re.escape(action)}".*?</form>', page.text, re.S)
    assert form, f"no form for {action}"
    found = re.search(r'name="form_token" value="(\w+)"', form[0])
    assert found
    return found[1]
