"""Tokens: client credentials, and the JWT bearer flow with RS256.

Help: "OAuth 2.0 Client Credentials Flow", "OAuth 2.0 JWT Bearer Flow". A JWT is good for five minutes at most.
"""

import hmac
import time
from dataclasses import dataclass
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from infra.crm.calls import Answer, Call, Refused
from infra.crm.platform import Tokens

ORGANIZATION, USER = "00DFK000000FERN2AK", "005FK000000APIU2AM"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
MAX_SECONDS = 300


@dataclass(frozen=True)
class SalesforceCredentials:
    """What a client needs; made anew for each run. The server knows the public key only."""

    client_id: str
    client_secret: str
    username: str
    public_key: str


def token(call: Call, tokens: Tokens, credentials: SalesforceCredentials) -> Answer:
    """POST /services/oauth2/token."""
    form = {name: values[0] for name, values in parse_qs(call.body.decode(errors="replace")).items()}
    grant = form.get("grant_type")
    if grant == "client_credentials":
        _check_client(form, credentials)
    elif grant == JWT_BEARER:
        _check_assertion(form.get("assertion", ""), call, credentials)
    else:
        raise _refused("unsupported_grant_type", "grant type not supported")
    issued = tokens.issue("00DFK000000FERN!")
    return Answer(
        {
            "access_token": issued,
            "signature": "simulated",
            "scope": "api",
            "instance_url": call.base_url,
            "id": f"{call.base_url}/id/{ORGANIZATION}/{USER}",
            "token_type": "Bearer",
            "issued_at": str(int(time.time() * 1000)),
        },
        headers={"Cache-Control": "no-store"},
    )


def _check_client(form: dict[str, str], credentials: SalesforceCredentials) -> None:
    if not hmac.compare_digest(form.get("client_id", "").encode(), credentials.client_id.encode()):
        raise _refused("invalid_client_id", "client identifier invalid")
    if not hmac.compare_digest(form.get("client_secret", "").encode(), credentials.client_secret.encode()):
        raise _refused("invalid_client", "invalid client credentials")


def _check_assertion(assertion: str, call: Call, credentials: SalesforceCredentials) -> None:
    try:
        claims = jwt.decode(assertion, RSAKey.import_key(credentials.public_key), algorithms=["RS256"]).claims
    except (JoseError, ValueError):
        raise _refused("invalid_grant", "invalid assertion") from None
    if claims.get("iss") != credentials.client_id:
        raise _refused("invalid_client_id", "client identifier invalid")
    if claims.get("aud") not in (*AUDIENCES, call.base_url):
        raise _refused("invalid_grant", "audience is invalid")
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or not time.time() < expires <= time.time() + MAX_SECONDS:
        raise _refused("invalid_grant", "expired authorization code")
    if claims.get("sub") != credentials.username:
        raise _refused("invalid_grant", "user hasn't approved this consumer")


def _refused(code: str, description: str) -> Refused:
    return Refused({"error": code, "error_description": description}, 400)
