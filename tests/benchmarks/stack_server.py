"""A server process of the stack benchmark: the same tool, bare or inside of our middleware."""

import argparse
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastmcp import FastMCP
from mcp.types import ToolAnnotations
from pydantic import Field

from common.garbage import settle
from common.middleware import AuditStep, Context, Next, action_of
from common.observability.logging import configure_logging
from common.runtime import Runtime, build_runtime
from common.serve import Worker, serve_http
from common.server import build_app, build_server
from common.settings import CommonSettings
from common.workers import Workers, listen

NAME = "benchmark"
POLICY = f'permit (principal, action, resource == Server::"{NAME}") when {{ principal.roles.contains("user") }};'
UNAUDITED = "unaudited"
NO_LIMIT = 1e9
HOST = "127.0.0.1"


async def echo(text: str) -> str:
    """Say it again."""
    return text


class AuditButOfOne(AuditStep):
    """Passed by by one tool: it and the same one with audit are in one process then, and nothing else differs."""

    async def on_call(self, context: Context, call_next: Next) -> Any:
        if action_of(context) == UNAUDITED:
            return await call_next(context)
        return await super().on_call(context, call_next)


def add_tools(server: FastMCP[Any], count: int, read_only: bool) -> None:
    """`echo`, which is called, and others that are only there."""
    annotations = ToolAnnotations(readOnlyHint=read_only)
    server.tool(echo, annotations=annotations)
    for number in range(2, count + 1):

        async def other(
            name: Annotated[str, Field(description="name of the object", min_length=1, max_length=100)],
            limit: Annotated[int, Field(description="most that are returned", ge=1, le=50)] = 10,
        ) -> str:
            """Stand beside."""
            return name * limit

        server.tool(other, name=f"other_{number}", annotations=annotations)


def bare_app(tools: int) -> Any:
    """FastMCP as it comes."""
    server: FastMCP[Any] = FastMCP("bare")
    add_tools(server, tools, read_only=True)
    return server.http_app(path="/mcp", stateless_http=True)


def suite_app(folder: Path, port: int, tools: int, audited: bool, read_only: bool) -> tuple[Any, Runtime]:
    """Our server, with limits that nobody reaches."""
    policy = folder / "policy.cedar"
    if not policy.exists():
        # Workers build one after the other's start: one would read what another is writing.
        policy.write_text(POLICY)
    settings = CommonSettings(data_dir=folder, rate_limit_per_second=NO_LIMIT, rate_limit_burst=int(NO_LIMIT))
    configure_logging(settings)
    runtime = build_runtime(NAME, settings, [policy])

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        async with runtime.opened():
            yield {}

    url = f"http://{HOST}:{port}"
    server = build_server(runtime, "A benchmark.", lifespan, url)
    steps = server.middleware
    if audited:
        server.middleware = [AuditButOfOne(step.audit) if isinstance(step, AuditStep) else step for step in steps]
        server.tool(echo, name=UNAUDITED, annotations=ToolAnnotations(readOnlyHint=True))
    else:
        server.middleware = [step for step in steps if not isinstance(step, AuditStep)]
    add_tools(server, tools, read_only)
    return build_app(server, runtime, url), runtime


def by_workers(build: Callable[[], tuple[Any, Runtime]], port: int, count: int) -> None:
    """Serve as `--workers` does."""
    listening, folder = listen(HOST, port), Path(tempfile.mkdtemp())
    build()
    settle()

    def work(slot: int, lifeline: int) -> None:
        serve_http(*build(), HOST, port, Worker(slot, listening, lifeline, folder))

    Workers(count, work).run()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=["bare", "stack", "audited", "audited-write"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tools", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.variant == "bare":
        app = bare_app(given.tools)
        # As `serve_http` runs ours; it finds uvloop and httptools by itself.
        uvicorn.run(app, host=HOST, port=given.port, loop="uvloop", http="httptools", log_config=None, access_log=False)
    else:
        audited, read_only = given.variant != "stack", given.variant != "audited-write"
        build = partial(suite_app, given.folder, given.port, given.tools, audited, read_only)
        if given.workers == 1:
            serve_http(*build(), HOST, given.port)
        else:
            by_workers(build, given.port, given.workers)


if __name__ == "__main__":
    main()
