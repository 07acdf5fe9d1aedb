"""A server with a tool that asks before it acts; `python -m tests.support.confirming FOLDER` serves it over stdio."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer
from mcp.types import InputRequiredResult

from common.confirm import Confirmations, Question
from common.runtime import Runtime, build_runtime
from common.server import build_app, build_server
from common.settings import CommonSettings

POLICY = """
permit (principal, action == Action::"wipe", resource) when { principal.roles.containsAny(["user", "editor"]) };
"""
URL = "http://127.0.0.1:8001"


@dataclass
class Replica:
    """One process of the server, as far as the outside can tell."""

    runtime: Runtime
    asgi: ASGIServer
    wiped: list[str]
    prepared: list[str]

    def token(self, owner: str = "alice") -> str:
        return self.runtime.credentials.api_keys.create(owner, "acme", ["user"], [])[1]


def _build(folder: Path, replica: str, stdio: bool, **settings: Any) -> tuple[Replica, FastMCP[Any]]:
    policy = folder / f"{replica}.cedar"
    policy.write_text(POLICY)
    given = {"data_dir": folder, "rate_limit_per_second": 1000, "rate_limit_burst": 1000, **settings}
    runtime = build_runtime("asking", CommonSettings(**given), [policy])
    confirmations = Confirmations(runtime.engine)

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        async with runtime.opened():
            await confirmations.open()
            yield {}

    server = build_server(runtime, "Asks.", lifespan, URL, stdio)
    app = build_app(server, runtime, URL)
    built = Replica(runtime, ASGIServer(f"{URL}/mcp", app, "http"), [], [])

    @server.tool
    async def wipe(name: str, context: Context) -> str | InputRequiredResult:
        async def prepare() -> Question:
            built.prepared.append(name)
            return Question(name, f"Wipe {name}?")

        answer = await confirmations.confirm(context, prepare)
        if isinstance(answer, InputRequiredResult):
            return answer
        if answer.verdict == "yes":
            built.wiped.append(answer.about)
        return f"{answer.about}: {answer.verdict}"

    return built, server


@asynccontextmanager
async def replica(folder: Path, name: str = "one", **settings: Any) -> AsyncIterator[Replica]:
    """A replica, open. Those of one folder share keys and database."""
    built, _ = _build(folder, name, stdio=False, **settings)
    async with run_asgi_lifespan(built.asgi.app):
        yield built


if __name__ == "__main__":
    _, running = _build(Path(sys.argv[1]), "stdio", stdio=True)
    asyncio.run(running.run_async(transport="stdio", show_banner=False))
