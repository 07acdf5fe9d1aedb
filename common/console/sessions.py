"""Who is signed in: a signed cookie that says who and since when. What the person may do is looked up each time."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastmcp.server.auth import AccessToken
from starlette.requests import Request
from starlette.responses import Response

from common.console.signed_out import SignedOut
from common.errors import InvalidInput
from common.runtime import Runtime
from common.security.principal import Principal, principal_from_claims
from common.security.tokens import OwnTokens

HOURS = 8
MAX_COOKIE = 3800
"""A browser silently drops a cookie above 4096 bytes, name and attributes included."""
CARRIED = ("tenant", "roles", "groups", "clearance", "scope")


@dataclass(frozen=True)
class Session:
    """One sign-in of one person."""

    sid: str
    principal: Principal
    auth_time: float
    expires: float

    def is_fresh(self, seconds: float) -> bool:
        """Whether the person proved who they are within the last `seconds`."""
        # A sign-in from the future is one from before the clock was set back.
        return -1 <= time.time() - self.auth_time <= seconds


class Sessions:
    """Starts, checks and ends the sessions of one server; all its replicas accept them."""

    def __init__(self, runtime: Runtime) -> None:
        # Browsers do not tell ports apart: two servers on one host must neither share nor overwrite a cookie.
        self.cookie = f"triptych-{runtime.name}"
        self._tokens = OwnTokens(runtime.key, f"console-session/{runtime.name}")
        self._api_keys = runtime.credentials.keys
        self._signed_out = SignedOut(runtime.name, runtime.redis)
        self._public_url = runtime.settings.public_url or ""

    def start(self, access: AccessToken) -> tuple[str, int]:
        """A cookie value with a new session id, and its seconds: never more than the credentials themselves have."""
        now = time.time()
        seconds = min(HOURS * 3600, (access.expires_at or now + HOURS * 3600) - now)
        key_id = access.claims.get("key_id")
        # The rights of an API key are looked up at every request; those of a token are only known from it.
        rights = {} if key_id else {name: access.claims[name] for name in CARRIED if name in access.claims}
        own = {"sub": access.claims["sub"], "key_id": key_id, "sid": secrets.token_urlsafe(18), "auth_time": now}
        value = self._tokens.issue({**rights, **own}, seconds)
        if len(value) > MAX_COOKIE:
            raise InvalidInput("This token names too many groups for a session.", "Sign in with an API key instead.")
        return value, int(seconds)

    async def current(self, request: Request, must_know: bool = False) -> Session | None:
        """The session of this request, if it still stands. With `must_know`, Unavailable is raised in doubt."""
        claims = self._tokens.check(request.cookies.get(self.cookie, ""))
        principal = await self._principal(claims) if claims else None
        if claims is None or principal is None:
            return None
        session = Session(claims["sid"], principal, claims["auth_time"], claims["exp"])
        return None if await self._signed_out.has(session.sid, must_know) else session

    async def _principal(self, claims: Mapping[str, Any]) -> Principal | None:
        if not claims.get("key_id"):
            return principal_from_claims(claims)
        key = await self._api_keys.get(claims["key_id"])
        return key.principal if key else None

    async def end(self, session: Session) -> None:
        """Make the session unusable, for whoever has a copy of the cookie too."""
        await self._signed_out.add(session.sid, session.expires)

    def set_cookie(self, request: Request, response: Response, value: str, seconds: int) -> None:
        """Give the browser its session."""
        secure = request.url.scheme == "https" or self._public_url.startswith("https:")
        response.set_cookie(
            self.cookie, value, max_age=seconds, path="/console", secure=secure, httponly=True, samesite="strict"
        )

    def clear_cookie(self, response: Response) -> None:
        """Take it away."""
        response.delete_cookie(self.cookie, path="/console", httponly=True, samesite="strict")
