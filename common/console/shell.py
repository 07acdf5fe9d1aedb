"""What surrounds every page: the session, the right to see it, form tokens, headers, and a page for each failure."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from http import HTTPStatus
from math import ceil
from pathlib import Path
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from common.console.forms import FormTokens, comes_from_here, opened_from_here, read_form
from common.console.frame import Frame, FrameOf, no_frame
from common.console.page import SAFE, Files, Page, Visit, here, to_sign_in, wants_json
from common.console.recording import recorded
from common.console.sessions import Session, Sessions
from common.console.templating import HEADERS, HERE, StaticFiles, Templates
from common.edge import SIGN_IN_WAIT, as_request
from common.errors import AppError, Denied, NotFound, RateLimited
from common.observability.call import request_id
from common.resilience.deadline import deadline
from common.runtime import Runtime
from common.security.principal import ANONYMOUS, Principal, current_principal

Handler = Callable[[Request], Awaitable[Response]]
STATUS = {"invalid_input": 400, "denied": 403, "not_found": 404, "conflict": 409, "rate_limited": 429}
SECONDS_TO_SEND = 600.0
"""For the body of a form."""
FRAME_SECONDS = 2.0
log = structlog.get_logger(__name__)


class Shell:
    """The frame of one server's console."""

    def __init__(
        self,
        runtime: Runtime,
        pages: Sequence[Page],
        templates: Sequence[Path],
        static: Sequence[Path],
        frame: FrameOf = no_frame,
    ) -> None:
        self.runtime = runtime
        self._frame = frame
        self.pages = pages
        self.static = StaticFiles([HERE / "static", *static])
        self.templates = Templates(templates, self.static)
        self.sessions = Sessions(runtime)
        self.forms = FormTokens(runtime.key)

    def serve(self, page: Page) -> Handler:
        """The page for those who may see it."""

        async def answer(request: Request) -> Response:
            self.check_method(request, page.methods)
            session = await self.sessions.current(request, must_know=request.method not in SAFE)
            if session is None:
                return await self._without_session(request)
            current_principal.set(session.principal)
            # Right and limit come first: nothing is read of what somebody may not send.
            self.check_right(session.principal, page)
            layout, still = await self.framed(request, session), self.still_allowed(request, page)
            visit = Visit(request, session, page, self.runtime, self.templates, layout, still)
            async with AsyncExitStack() as stack:
                stack.push_async_callback(request.close)
                if page.recorded or request.method not in SAFE:
                    stack.enter_context(self._traced(request, page, session.principal))
                if page.recorded:
                    durable = request.method not in SAFE
                    address = {**request.path_params, **request.query_params}
                    await stack.enter_async_context(
                        recorded(self.runtime, session.principal, page.action, {"arguments": address}, durable)
                    )
                async with deadline(SECONDS_TO_SEND):
                    await self.check_form(request, session, page.files)
                await stack.enter_async_context(deadline(self.runtime.settings.tool_timeout_seconds))
                return await page.endpoint(visit)

        return answer

    def serve_websocket(self, page: Page) -> Handler:
        """The same page for a WebSocket that this console opened."""
        answer = self.serve(page)

        async def guarded(request: Request) -> Response:
            if not opened_from_here(request):
                raise Denied("Only pages of this console may open this.", "Send its address as Origin.")
            return await answer(request)

        return guarded

    @contextmanager
    def _traced(self, request: Request, page: Page, who: Principal) -> Iterator[None]:
        # What many a page asks for every few seconds would leave room for nothing else.
        name = f"{request.method} {page.address}"
        with self.runtime.traces.recorded(request_id.get(), "console", name) as trace:
            trace.tenant, trace.subject = who.tenant, who.subject
            yield

    def check_method(self, request: Request, methods: frozenset[str]) -> None:
        """Raises HTTPException."""
        if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})

    def check_right(self, principal: Principal, page: Page) -> None:
        """Raises Denied."""
        if not self.runtime.policy.allows(principal, page.action):
            roles = ", ".join(sorted(principal.roles)) or "none"
            hint = "Ask whoever gave you the key for one that does."
            raise Denied(f"Your roles ({roles}) do not open this page.", hint)

    def still_allowed(self, request: Request, page: Page) -> Callable[[], Awaitable[None]]:
        """Asks again what was asked at the beginning of a request."""

        async def check() -> None:
            session = await self.sessions.current(request)
            if session is None:
                raise Denied("Your session has ended.", "Sign in again.")
            self.check_right(session.principal, page)

        return check

    async def check_form(self, request: Request, session: Session, files: Files | None = None) -> None:
        """Raises Denied unless this is a form of ours, filled in by the person of the session. Receives its files."""
        if request.method in SAFE:
            return
        max_files = files.count if files else 0
        if not comes_from_here(request) or not await self.forms.fits(request, session.sid, max_files):
            raise Denied("This form was not sent from the page that you had open.", "Open the page again, and retry.")
        if files:
            await read_form(request, max_files)

    def layout(self, request: Request, session: Session | None) -> dict[str, Any]:
        """What every template needs."""
        allows = self.runtime.policy.allows
        return {
            "server": self.runtime.name,
            "session": session,
            "here": request.scope["path"],
            "nav": [page for page in self.pages if page.in_nav and session and allows(session.principal, page.action)],
            "form_token": lambda path: self.forms.issue(session.sid, path) if session else "",
            "frame": Frame(),
        }

    async def framed(self, request: Request, session: Session | None) -> dict[str, Any]:
        """The layout of a page, with what the vertical adds around it; no page fails because of that."""
        layout = self.layout(request, session)
        if session is None or request.method not in SAFE:
            return layout
        try:
            async with deadline(FRAME_SECONDS):
                return {**layout, "frame": await self._frame(session.principal)}
        except Exception as error:
            log.warning("console.no_frame", error=type(error).__name__)
            return layout

    async def not_found(self, request: Request) -> Response:
        """What is not there, or has a slash too much."""
        path = str(request.scope["path"])
        if path.endswith("/") and request.method in SAFE:
            return RedirectResponse(path.rstrip("/"), 303)
        raise NotFound("There is no such page.", "It may have moved: start from the overview.")

    async def failure(self, request: Request, status: int, message: str, hint: str = "") -> Response:
        """What went wrong, and under which id the log has the rest: a page, or JSON for a script."""
        if wants_json(request):
            answer = {"error": f"{message} {hint}".strip(), "request_id": request_id.get()}
            return JSONResponse(answer, status)
        try:
            session = await self.sessions.current(request)
        except Exception:
            session = None
        values = {"title": HTTPStatus(status).phrase, "message": message, "hint": hint, "request_id": request_id.get()}
        layout = await self.framed(request, session)
        return self.templates.answer("failure.html", status, **layout, code=status, **values)

    async def _without_session(self, request: Request) -> Response:
        if wants_json(request):
            return await self.failure(request, 401, "You are not signed in any more.", "Sign in again.")
        came_by_link = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if came_by_link and request.method in SAFE:
            # SameSite=Strict held the cookie back; the browser sends it when the page itself asks once more.
            return self.templates.answer("again.html", address=here(request))
        return to_sign_in(request)


class Answering:
    """One address as ASGI application."""

    def __init__(self, shell: Shell, handler: Handler) -> None:
        self._shell = shell
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = current_principal.set(ANONYMOUS)
        try:
            response = await self._answer(Request(as_request(scope), receive))
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            await response(scope, receive, send)
        finally:
            current_principal.reset(token)

    async def _answer(self, request: Request) -> Response:
        try:
            if wait := request.scope.get(SIGN_IN_WAIT):
                raise RateLimited("Too many failed sign-ins from this address.", "Sign in later.", retry_after=wait)
            return await self._handler(request)
        except AppError as error:
            return await self._refusal(request, error)
        except HTTPException as error:
            response = await self._shell.failure(request, error.status_code, error.detail)
            response.headers.update(error.headers or {})
            return response
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("console.error", path=request.scope["path"])
            return await self._shell.failure(request, 500, "Something failed here, and it is not your fault.")

    async def _refusal(self, request: Request, error: AppError) -> Response:
        status, seconds = STATUS.get(error.code, 503), error.retry_after
        wait = f"Wait {ceil(seconds)} s. " if seconds is not None else ""
        response = await self._shell.failure(request, status, error.message, wait + error.hint)
        if seconds is not None:
            response.headers["Retry-After"] = str(ceil(seconds))
        return response
