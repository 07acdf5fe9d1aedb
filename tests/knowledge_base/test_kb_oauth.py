"""OAuth 2.0 from end to end: a client finds the authorization server, signs in with PKCE, and reads what it may."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx2
import pytest
import pytest_asyncio
from fastmcp import Client
from fastmcp.utilities.tests import HeadlessOAuth
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from common.settings import CommonSettings
from knowledge_base.server import build
from tests.services.oauth_server import AuthorizationServer, authorization_server
from tests.support.knowledge import finished
from tests.support.live import live_at
from tests.support.serving import ask

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAUSE_SECONDS = 0.3
BACK = "http://localhost:9/callback"
ALICE = {"tenant": "acme", "roles": ["editor"], "groups": ["eng"], "clearance": "internal"}
BOB = {"tenant": "globex", "roles": ["user"], "groups": ["eng"], "clearance": "restricted"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@dataclass
class World:
    """A knowledge base as resource server, and the authorization server that it believes."""

    url: str
    issuer: AuthorizationServer

    @property
    def resource(self) -> str:
        return f"{self.url}/mcp"

    async def status(self, token: str) -> int:
        async with httpx2.AsyncClient() as http:
            headers = {**HEADERS, "Authorization": f"Bearer {token}"}
            return int((await http.post(self.resource, json=LIST, headers=headers)).status_code)

    async def search(self, token: str, query: str = "oolong") -> list[str]:
        async with Client(self.resource, auth=token) as client:
            return [item["document_id"] for item in (await ask(client, "search", query=query))["items"]]

    def fresh(self, **changes: Any) -> str:
        return self.issuer.token("alice", self.resource, **changes)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.security.identity.JWKS_PAUSE_SECONDS", PAUSE_SECONDS)
        async with _world(tmp_path_factory.mktemp("oauth")) as found:
            yield found


@asynccontextmanager
async def _world(folder: Path) -> AsyncIterator[World]:
    async with authorization_server(alice=ALICE, bob=BOB) as issuer:

        def app(url: str) -> Any:
            oauth = {"oauth_issuer": issuer.issuer, "oauth_audience": f"{url}/mcp"}
            generous = {"rate_limit_per_second": 1000, "rate_limit_burst": 1000, "sign_in_failures_per_minute": 1000}
            given = {**oauth, **generous, "oauth_jwks_uri": f"{issuer.issuer}/jwks", "public_url": url}
            return build(CommonSettings(data_dir=folder, **given), url).app  # type: ignore[arg-type]

        async with live_at(app) as url:
            found = World(url, issuer)
            async with Client(found.resource, auth=found.fresh()) as alice:
                arguments = {"id": "tea", "title": "Tea", "text": "Oolong.", "access": {"groups": ["eng"]}}
                await finished(alice, (await ask(alice, "add_document", **arguments))["job_id"])
            yield found


async def code_of(world: World, resource: str = "", **more: str) -> tuple[str, dict[str, str]]:
    """Through registration and sign-in by hand; what the exchange needs."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    async with httpx2.AsyncClient(base_url=world.issuer.issuer) as http:
        client_id = (await http.post("/register", json={"redirect_uris": [BACK]})).json()["client_id"]
        asked = {"client_id": client_id, "redirect_uri": BACK, "response_type": "code", "code_challenge": challenge}
        asked |= {"code_challenge_method": "S256", "resource": resource or world.resource, **more}
        answer = await http.get("/authorize", params=asked)
    code = parse_qs(urlparse(answer.headers["location"]).query).get("code", [""])[0]
    exchange = {"grant_type": "authorization_code", "client_id": client_id, "redirect_uri": BACK}
    return code, {**exchange, "code": code, "code_verifier": verifier}


async def exchanged(world: World, form: dict[str, str]) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=world.issuer.issuer) as http:
        return await http.post("/token", data=form)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_knows_only_the_address_signs_in_and_reads(world: World, mode: Any) -> None:
    async with Client(world.resource, auth=HeadlessOAuth(world.resource), mode=mode) as client:
        assert [item["document_id"] for item in (await ask(client, "search", query="oolong"))["items"]] == ["tea"]


async def test_a_group_that_is_gone_from_the_token_is_gone_from_the_next_answer(world: World) -> None:
    _, form = await code_of(world)
    first = (await exchanged(world, form)).json()
    assert await world.search(first["access_token"]) == ["tea"]
    world.issuer.people["alice"] = {**ALICE, "groups": []}
    try:
        refresh = {"grant_type": "refresh_token", "client_id": form["client_id"]}
        second = (await exchanged(world, {**refresh, "refresh_token": first["refresh_token"]})).json()
        assert await world.search(second["access_token"]) == []
        assert (await exchanged(world, {**refresh, "refresh_token": first["refresh_token"]})).status_code == 400
    finally:
        world.issuer.people["alice"] = ALICE


async def test_another_tenant_sees_nothing_whatever_its_clearance(world: World) -> None:
    assert await world.search(world.issuer.token("bob", world.resource)) == []
    assert await world.search(world.fresh(tenant=None)) == []


async def test_a_token_for_somebody_else_is_refused(world: World) -> None:
    _, form = await code_of(world, resource="https://other.example/mcp")
    elsewhere = (await exchanged(world, form)).json()["access_token"]
    now = int(time.time())
    assert await world.status(world.fresh()) == 200
    assert await world.status(elsewhere) == 401
    for changes in ({"iss": "https://evil.example"}, {"exp": now - 1}, {"nbf": now + 900}, {"exp": None}):
        assert await world.status(world.fresh(**changes)) == 401, changes


@pytest.mark.filterwarnings("ignore:JWS algorithm")
async def test_a_token_cannot_choose_how_it_is_checked(world: World) -> None:
    key, claims = world.issuer.keys[-1], jwt.decode(world.fresh(), world.issuer.keys[-1]).claims
    unsigned = jwt.encode({"alg": "none"}, claims, OctKey.generate_key(), algorithms=["none"])
    header = {"alg": "HS256", "kid": key.kid}
    body = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    digest = hmac.digest(key.as_pem(private=False), body, "sha256")
    confused = (body + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()
    stranger = RSAKey.generate_key(2048, {"kid": str(key.kid)}, private=True)
    assert await world.status(unsigned) == 401
    assert await world.status(confused) == 401
    assert await world.status(world.fresh(key=stranger)) == 401


async def test_a_code_is_good_once_for_who_asked_for_it(world: World) -> None:
    _, form = await code_of(world)
    assert (await exchanged(world, form)).status_code == 200
    assert (await exchanged(world, form)).json() == {"error": "invalid_grant"}
    for changes in ({"code_verifier": "x" * 43}, {"client_id": "other"}, {"redirect_uri": "http://evil.example"}):
        _, form = await code_of(world)
        assert (await exchanged(world, {**form, **changes})).status_code == 400, changes
    code, _ = await code_of(world, code_challenge_method="plain")
    assert code == ""


async def test_keys_of_the_issuer_are_rotated(world: World) -> None:
    before = world.fresh()
    assert await world.status(before) == 200
    asked = world.issuer.asked_for_keys
    assert await world.status(before) == 200 and world.issuer.asked_for_keys == asked, "keys are kept for a while"
    for _ in range(2):
        world.issuer.rotate()
        async with asyncio.timeout(10):
            while await world.status(world.fresh()) != 200:
                await asyncio.sleep(0.05)
    made_up = world.issuer.asked_for_keys
    stranger = RSAKey.generate_key(2048, {"kid": "unknown"}, private=True)
    claims = jwt.decode(world.fresh(), world.issuer.keys[-1]).claims
    unknown = jwt.encode({"alg": "RS256", "kid": "unknown"}, claims, stranger)
    began = time.monotonic()
    for _ in range(10):
        assert await world.status(unknown) == 401
    most = 1 + (time.monotonic() - began) / PAUSE_SECONDS
    assert world.issuer.asked_for_keys - made_up <= most, "whoever makes up keys does not make us ask each time"
    assert await world.status(before) == 401, "and the one before is not believed any more"
