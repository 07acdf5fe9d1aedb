"""Signing in with an API key or a token, and signing out."""

import contextlib

from fastmcp.server.auth import AccessToken
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from common.console.forms import comes_from_here, read_form, text
from common.console.page import HOME, SIGN_IN, local
from common.console.shell import Shell
from common.errors import Denied
from common.observability.call import request_id
from common.runtime import Runtime
from common.security.audit import AuditRecord, AuditUnavailable
from common.security.principal import Principal, principal_from_claims

WRONG = "This key is not valid here: it is mistyped, expired or revoked."


class SignIn:
    """The two forms that change who the browser is."""

    def __init__(self, runtime: Runtime, shell: Shell) -> None:
        self._runtime = runtime
        self._shell = shell
        self._sessions = shell.sessions

    async def answer(self, request: Request) -> Response:
        """The form, or what becomes of it. A wrong key is a 401, which the sign-in guard counts and records."""
        self._shell.check_method(request, frozenset({"GET", "POST"}))
        if request.method != "POST":
            return self._form(request, local(request.query_params.get("next", HOME)))
        if not comes_from_here(request):
            # Otherwise another site could sign somebody in as somebody else, who would read what they do.
            raise Denied("This form was not sent from this console.", "Open the sign-in page, and retry.")
        form = await read_form(request)
        target, key = local(text(form, "next")), text(form, "key")
        access = await self._runtime.credentials.verify_token(key) if key else None
        if access is None:
            return self._form(request, target, WRONG if key else "Enter a key.", 401)
        return await self._signed_in(request, access, target)

    def _form(self, request: Request, target: str, problem: str = "", status: int = 200) -> Response:
        layout = self._shell.layout(request, None)
        return self._shell.templates.answer("sign_in.html", status, **layout, target=target, problem=problem)

    async def _signed_in(self, request: Request, access: AccessToken, target: str) -> Response:
        value, seconds = self._sessions.start(access)
        before = await self._sessions.current(request)
        if before:
            await self._sessions.end(before)
        response = RedirectResponse(target, 303)
        self._sessions.set_cookie(request, response, value, seconds)
        self._record("sign_in", request, principal_from_claims(access.claims))
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session here and, with Redis, at every replica."""
        self._shell.check_method(request, frozenset({"POST"}))
        session = await self._sessions.current(request)
        response = RedirectResponse(SIGN_IN, 303)
        if session:
            await self._shell.check_form(request, session)
            await self._sessions.end(session)
            self._sessions.clear_cookie(response)
            self._record("sign_out", request, session.principal)
        return response

    def _record(self, action: str, request: Request, who: Principal) -> None:
        detail = {"address": request.client.host if request.client else "unknown", "key": who.key_id}
        record = AuditRecord("event", action, request_id.get(), who.subject, who.tenant, "ok", detail)
        # With the log down people must still be able to see that it is down.
        with contextlib.suppress(AuditUnavailable):
            self._runtime.audit.append(record)
