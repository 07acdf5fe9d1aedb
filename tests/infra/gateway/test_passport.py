"""Exchanged tokens: had from a real token endpoint, kept while they are good, and never with more rights."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.errors import AppError, Denied
from common.http.upstream import UpstreamMetrics
from common.security.access import LEVELS
from common.security.principal import principal_from_claims
from infra.demo.servers import free_port
from infra.gateway.adapters.token_exchange import TokenExchange
from infra.gateway.caller import Caller
from infra.gateway.passport import ExchangedToken, is_within
from infra.gateway.settings import Exchange
from tests.support.gateway import listening

KEY = OctKey.import_key("k" * 32)
RIGHTS = {"sub": "alice", "tenant": "acme", "roles": ["user"], "groups": ["eng"], "clearance": "internal"}
NAMES = st.lists(st.sampled_from(["a", "b", "c"]), unique=True)


def token(**claims: Any) -> str:
    return jwt.encode({"alg": "HS256"}, {**RIGHTS, "exp": int(time.time()) + 300, **claims}, KEY)


@dataclass
class TokenEndpoint:
    """An issuer that answers as it is told."""

    claims: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    forms: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        self.forms.append(dict(await request.form()))
        given = {"access_token": token(aud="kb", **self.claims), "token_type": "Bearer", "expires_in": 300}
        return JSONResponse(given if self.status == 200 else {"error": "invalid_target"}, self.status)


@asynccontextmanager
async def issuer() -> AsyncIterator[tuple[TokenEndpoint, ExchangedToken]]:
    endpoint = TokenEndpoint()
    app = Starlette(routes=[Route("/realm/token", endpoint.answer, methods=["POST"])])
    async with listening(app) as port:
        settings = Exchange(
            token_url=f"http://127.0.0.1:{port}/realm/token",
            client_id="gateway",
            client_secret=SecretStr("s3cret"),
            audience="kb",
        )
        exchange = TokenExchange("kb", settings, UpstreamMetrics())
        yield endpoint, ExchangedToken("kb", exchange)
        await exchange.close()


def caller(**claims: Any) -> Caller:
    return Caller(principal_from_claims({**RIGHTS, **claims}), token(**claims))


async def test_a_token_for_the_domain_is_had_once_for_each_of_the_callers() -> None:
    async with issuer() as (endpoint, passport):
        alice, bob = caller(), caller(sub="bob")
        given = [await passport.token(alice) for _ in range(3)]
        assert len(set(given)) == 1 and given[0] != alice.token
        endpoint.claims = {"sub": "bob"}
        assert await passport.token(bob) not in given
        assert [form["subject_token"] for form in endpoint.forms] == [alice.token, bob.token]
        assert endpoint.forms[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        assert endpoint.forms[0]["audience"] == "kb" and "s3cret" not in repr(passport.__dict__)


@pytest.mark.parametrize(
    "more",
    [{"sub": "dana"}, {"roles": ["user", "admin"]}, {"groups": ["hr"]}, {"clearance": "restricted"}, {"tenant": "x"}],
)
async def test_a_token_with_more_rights_is_not_used(more: dict[str, Any]) -> None:
    async with issuer() as (endpoint, passport):
        endpoint.claims = more
        with pytest.raises(Denied, match="not one of yours"):
            await passport.token(caller())


async def test_a_key_is_never_sent_to_the_issuer_and_a_refusal_is_told() -> None:
    async with issuer() as (endpoint, passport):
        with pytest.raises(Denied, match="takes tokens of the issuer alone"):
            await passport.token(Caller(principal_from_claims({**RIGHTS, "key_id": "1"}), "tk_1_secret"))
        assert endpoint.forms == []
        endpoint.status = 400
        with pytest.raises(Denied, match="gave no token"):
            await passport.token(caller())


async def test_an_issuer_that_is_down_is_said_to_be() -> None:
    settings = Exchange(
        token_url=f"http://127.0.0.1:{free_port(0)}/token",
        client_id="gateway",
        client_secret=SecretStr("s3cret"),
        audience="kb",
    )
    exchange = TokenExchange("kb", settings, UpstreamMetrics())
    async with asyncio.timeout(10):
        with pytest.raises(AppError) as failed:
            await ExchangedToken("kb", exchange).token(caller())
    assert "s3cret" not in str(failed.value)
    await exchange.close()


@given(NAMES, NAMES, NAMES, NAMES, st.sampled_from(list(LEVELS)), st.sampled_from(list(LEVELS)))
def test_what_is_within_gives_no_right_that_was_not_there(
    roles: list[str], groups: list[str], more_roles: list[str], more_groups: list[str], own: str, other: str
) -> None:
    person = principal_from_claims({**RIGHTS, "roles": roles, "groups": groups, "clearance": own})
    claims = {**RIGHTS, "roles": more_roles, "groups": more_groups, "clearance": other}
    fewer = set(more_roles) <= set(roles) and set(more_groups) <= set(groups) and LEVELS[other] <= LEVELS[own]
    assert is_within(claims, person) is fewer
