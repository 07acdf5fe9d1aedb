"""The web console of a server: which addresses there are. See docs/console.md."""

from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from common.console.audit import audit_page
from common.console.frame import FrameOf, no_frame
from common.console.overview import overview_page
from common.console.page import HOME, SIGN_IN, Files, Page, Visit
from common.console.shell import Answering, Shell
from common.console.sign_in import SignIn
from common.console.trace_page import trace_page
from common.runtime import Runtime

__all__ = ["Files", "Page", "Visit", "console_routes", "larger_bodies"]


def console_routes(
    runtime: Runtime,
    pages: Sequence[Page] = (),
    templates: Sequence[Path] = (),
    static: Sequence[Path] = (),
    frame: FrameOf = no_frame,
) -> list[BaseRoute]:
    """The console with the vertical's own pages; `templates` and `static` are the folders of what they need.

    `frame` says what stands around each of them.
    """
    every = sorted([overview_page(), audit_page(), trace_page(), *pages], key=lambda page: page.order)
    shell = Shell(runtime, every, templates, static, frame)
    sign_in = SignIn(runtime, shell)

    async def home(_: Request) -> Response:
        return RedirectResponse(HOME, 303)

    async def static_file(request: Request) -> Response:
        return await shell.static.answer(request) or await shell.not_found(request)

    # The last one keeps what does not exist here away from the MCP application behind.
    return [
        Route("/", Answering(shell, home)),
        Route(SIGN_IN, Answering(shell, sign_in.answer)),
        Route(f"{HOME}/sign-out", Answering(shell, sign_in.sign_out)),
        Route(f"{HOME}/static/{{hash}}/{{name}}", Answering(shell, static_file)),
        *(Route(page.address, Answering(shell, shell.serve(page))) for page in every),
        *(WebSocketRoute(page.address, Answering(shell, shell.serve_websocket(page))) for page in every if page.live),
        Route(f"{HOME}/{{rest:path}}", Answering(shell, shell.not_found)),
    ]


def larger_bodies(pages: Sequence[Page]) -> dict[str, int]:
    """For `build_app`: the addresses that take files, and how many bytes."""
    return {page.address: page.files.max_body_bytes for page in pages if page.files}
