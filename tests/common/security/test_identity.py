"""Who gets in, through the real HTTP stack."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from common.errors import SettingsError
from common.security.audit import tail
from common.security.identity import Credentials
from common.security.principal import principal_from_claims
from common.security.signing import SigningKey
from common.security.tokens import DEVELOPMENT, OwnTokens
from common.settings import CommonSettings
from tests.support.apps import URL, Small, small_server

ISSUER = "https://issuer.example"
AUDIENCE = "triptych"
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"}, private=True, auto_kid=False)
EC = ECKey.generate_key("P-256", {"kid": "ec-1"}, private=True)
OTHER = RSAKey.generate_key(2048, {"kid": "rsa-1"}, private=True)
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@pytest.fixture(scope="module")
def jwks_uri() -> Iterator[str]:
    body = json.dumps(KeySet([RSA, EC]).as_dict(private=False)).encode()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/jwks"
    server.shutdown()
    server.server_close()


@pytest.fixture
async def small(tmp_path: Path, jwks_uri: str) -> AsyncIterator[Small]:
    oauth = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_uri": jwks_uri}
    async with small_server(tmp_path, **oauth) as server:
        yield server


async def status(small: Small, token: str | None, header: str = "Authorization") -> int:
    value = {} if token is None else {header: f"Bearer {token}" if header == "Authorization" else token}
    async with small.asgi.http_client() as http:
        return int((await http.post("/mcp", json=LIST, headers={**HEADERS, **value})).status_code)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 60, "roles": ["user"]}
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def signed(key: Any = RSA, algorithm: str = "RS256", **changes: Any) -> str:
    return jwt.encode({"alg": algorithm, "kid": key.kid}, claims(**changes), key, algorithms=[algorithm])


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
async def test_an_api_key_is_accepted_in_both_headers(small: Small, header: str) -> None:
    assert await status(small, small.token(), header) == 200


async def test_a_revoked_key_is_refused_by_the_next_call(small: Small) -> None:
    key, token = small.runtime.credentials.api_keys.create("alice", "acme", ["user"], [])
    assert await status(small, token) == 200
    # Another process revokes it: only the file tells.
    Credentials(small.runtime.settings, small.runtime.key).api_keys.revoke(key.id)
    assert await status(small, token) == 401


async def test_an_expired_or_changed_key_is_refused(small: Small) -> None:
    keys = small.runtime.credentials.api_keys
    _, expired = keys.create("alice", "acme", ["user"], [], days=-1)
    _, token = keys.create("alice", "acme", ["user"], [])
    assert await status(small, expired) == 401
    assert await status(small, token[:-1] + ("A" if token[-1] != "A" else "B")) == 401
    assert await status(small, "tk_unknown_secret") == 401
    assert await status(small, None) == 401


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
async def test_a_jwt_of_the_issuer_is_accepted(small: Small, key: Any, algorithm: str) -> None:
    token = signed(key, algorithm, clearance="restricted", tenant="acme", sub="carol")
    async with small.client(token) as client:
        answer = (await client.call_tool("whoami")).structured_content
    assert answer == {"subject": "carol", "tenant": "acme", "clearance": "restricted"}


async def test_what_a_jwt_is_for_stays_known(small: Small) -> None:
    access = await small.runtime.credentials.verify_token(signed(RSA, "RS256", scope="profile email"))
    assert access and principal_from_claims(access.claims).scopes == {"profile", "email"}


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "other"},
        {"aud": None},
        {"exp": int(time.time()) - 10},
        {"exp": None},
        {"exp": True},
        {"nbf": int(time.time()) + 86_400},
        {"nbf": "soon"},
        {"sub": None},
    ],
    # Without the time, so that every process collects the same tests.
    ids=lambda changes: "-".join(f"{name}-{type(value).__name__}" for name, value in changes.items()),
)
async def test_a_jwt_with_wrong_claims_is_refused(small: Small, changes: dict[str, Any]) -> None:
    assert await status(small, signed()) == 200
    assert await status(small, signed(**changes)) == 401


def signed_with_public_key() -> str:
    """The classic confusion: HS256 with the issuer's public key as the secret."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "rsa-1"}, claims())]
    body = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    digest = hmac.digest(RSA.as_pem(private=False), body, "sha256")
    return (body + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()


@pytest.mark.filterwarnings("ignore:JWS algorithm")
async def test_a_jwt_cannot_choose_how_it_is_checked(small: Small) -> None:
    none = jwt.encode({"alg": "none"}, claims(), OctKey.generate_key(), algorithms=["none"])
    confused = signed_with_public_key()
    assert await status(small, none) == 401
    assert await status(small, confused) == 401
    assert await status(small, signed(RSA, "RS512")) == 401
    assert await status(small, signed(OTHER)) == 401
    assert await status(small, "not.a.token") == 401


async def test_claims_that_are_missing_or_malformed_give_no_rights(small: Small) -> None:
    async with small.client(signed(roles="user", clearance="emperor", tenant=None)) as client:
        answer = (await client.call_tool("whoami")).structured_content
    assert (answer["clearance"], answer["tenant"]) == ("public", "")


async def test_development_tokens_work_in_the_embedded_profile_only(small: Small, tmp_path: Path) -> None:
    body = {"sub": "dev", "roles": ["user"], "tenant": "acme"}
    token = OwnTokens(small.runtime.key, DEVELOPMENT).issue(body, 60)
    assert await status(small, token) == 200
    assert await status(small, OwnTokens(small.runtime.key, "console-session").issue(body, 60)) == 401
    assert await status(small, OwnTokens(SigningKey(b"x" * 32), DEVELOPMENT).issue(body, 60)) == 401
    assert await status(small, OwnTokens(small.runtime.key, DEVELOPMENT).issue(body, -1)) == 401
    production = Credentials(CommonSettings(profile="production", data_dir=tmp_path), small.runtime.key)
    assert await production.verify_token(token) is None


async def test_failed_sign_ins_are_limited_and_recorded(tmp_path: Path) -> None:
    async with small_server(tmp_path, sign_in_failures_per_minute=3) as small:
        answers = [await status(small, f"tk_guess_{number}") for number in range(5)]
        assert answers == [401, 401, 401, 429, 429]
        assert await status(small, small.token()) == 429, "a guesser learns nothing, not even from a right key"
        assert await status(small, None) == 401, "asking without credentials is how OAuth clients begin"
        async with asyncio.timeout(20):
            while len(records := await tail(small.runtime.engine, 10, action="sign_in")) < 3:
                await asyncio.sleep(0.01)
        assert len(records) == 3
        assert "tk_guess" not in json.dumps(records)


async def test_the_protected_resource_metadata_names_the_issuer(small: Small) -> None:
    async with small.asgi.http_client() as http:
        answer = await http.post("/mcp", json=LIST, headers=HEADERS)
        metadata = await http.get("/.well-known/oauth-protected-resource/mcp")
        root = await http.get("/.well-known/oauth-protected-resource")
    assert "resource_metadata" in answer.headers["www-authenticate"]
    assert (
        root.json()
        == metadata.json()
        == {
            "resource": f"{URL}/mcp",
            "bearer_methods_supported": ["header"],
            "authorization_servers": [ISSUER],
        }
    )


@pytest.mark.parametrize(
    "given",
    [
        {"oauth_issuer": ISSUER},
        {"oauth_issuer": ISSUER, "oauth_audience": "a", "oauth_jwks_uri": "u", "oauth_algorithms": ["HS256"]},
    ],
)
def test_settings_that_would_be_unsafe_stop_the_start(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TRIPTYCH_OAUTH_"):
        Credentials(CommonSettings(data_dir=tmp_path, **given), SigningKey(b"k" * 32))
