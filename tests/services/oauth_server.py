"""A small OAuth 2.1 authorization server of our own: metadata, registration, code with PKCE, refresh, JWKS."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.live import live

LIFETIME_SECONDS = 300


@dataclass
class Grant:
    """What an authorization code, or a refresh token, stands for."""

    client_id: str
    subject: str
    resource: str
    redirect_uri: str = ""
    challenge: str = ""


@dataclass
class AuthorizationServer:
    """Whoever comes to /authorize is `visitor`, signed in already; `people` are their claims at this moment."""

    issuer: str = ""
    visitor: str = "alice"
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: list[RSAKey] = field(default_factory=list)
    clients: dict[str, list[str]] = field(default_factory=dict)
    codes: dict[str, Grant] = field(default_factory=dict)
    refreshing: dict[str, Grant] = field(default_factory=dict)
    asked_for_keys: int = 0

    def rotate(self) -> None:
        """Another key signs; the ones before are withdrawn."""
        self.keys = [RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)}, private=True)]

    def token(self, subject: str, resource: str, key: Any = None, **changes: Any) -> str:
        """An access token with the person's claims; a change to None leaves a claim out."""
        now, key = int(time.time()), key or self.keys[-1]
        standard = {"iss": self.issuer, "aud": resource, "sub": subject, "iat": now, "exp": now + LIFETIME_SECONDS}
        claims = {**standard, **self.people[subject], **changes}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": self.keys[-1].kid}, kept, key, algorithms=["RS256"])

    async def metadata(self, _: Request) -> Response:
        """RFC 8414."""
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "registration_endpoint": f"{self.issuer}/register",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
            }
        )

    async def jwks(self, _: Request) -> Response:
        self.asked_for_keys += 1
        return JSONResponse(KeySet([*self.keys]).as_dict(private=False))

    async def register(self, request: Request) -> Response:
        asked = await request.json()
        client_id = secrets.token_hex(8)
        self.clients[client_id] = [str(uri) for uri in asked["redirect_uris"]]
        return JSONResponse({**asked, "client_id": client_id, "token_endpoint_auth_method": "none"}, 201)

    async def authorize(self, request: Request) -> Response:
        """Sends the visitor back with a code, if the client is known and uses PKCE."""
        asked = request.query_params
        client_id, back = asked.get("client_id", ""), asked.get("redirect_uri", "")
        if back not in self.clients.get(client_id, []):
            return JSONResponse({"error": "invalid_request"}, 400)
        answer = {"state": asked["state"]} if "state" in asked else {}
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            return RedirectResponse(f"{back}?{urlencode({**answer, 'error': 'invalid_request'})}", 302)
        code = secrets.token_urlsafe(24)
        resource = asked.get("resource", "")
        self.codes[code] = Grant(client_id, self.visitor, resource, back, asked["code_challenge"])
        return RedirectResponse(f"{back}?{urlencode({**answer, 'code': code, 'iss': self.issuer})}", 302)

    async def exchange(self, request: Request) -> Response:
        """A code or a refresh token, each good for one time."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        is_code = form.get("grant_type") == "authorization_code"
        grants, name = (self.codes, "code") if is_code else (self.refreshing, "refresh_token")
        grant = grants.pop(form.get(name, ""), None)
        if grant is None or grant.client_id != form.get("client_id") or (is_code and not _proven(grant, form)):
            return JSONResponse({"error": "invalid_grant"}, 400)
        refresh = secrets.token_urlsafe(24)
        self.refreshing[refresh] = Grant(grant.client_id, grant.subject, grant.resource)
        token = self.token(grant.subject, grant.resource)
        lifetime = {"token_type": "Bearer", "expires_in": LIFETIME_SECONDS}
        return JSONResponse({"access_token": token, "refresh_token": refresh, **lifetime})


def _proven(grant: Grant, form: dict[str, str]) -> bool:
    """RFC 7636: who exchanges the code is who asked for it."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return form.get("redirect_uri") == grant.redirect_uri and hmac.compare_digest(challenge, grant.challenge)


@asynccontextmanager
async def authorization_server(**people: dict[str, Any]) -> AsyncIterator[AuthorizationServer]:
    """Running on a free port; a person is name=claims."""
    server = AuthorizationServer(people=people)
    await asyncio.to_thread(server.rotate)
    routes = [
        Route("/.well-known/oauth-authorization-server", server.metadata),
        Route("/jwks", server.jwks),
        Route("/register", server.register, methods=["POST"]),
        Route("/authorize", server.authorize),
        Route("/token", server.exchange, methods=["POST"]),
    ]
    async with live(Starlette(routes=routes)) as server.issuer:
        yield server
