"""Who is calling: OAuth access tokens, and API tokens by basic authentication."""

import base64
import binascii
import hmac
from dataclasses import dataclass

from infra.crm.calls import Answer, Call, Refused, json_object
from infra.crm.platform import Tokens
from infra.crm.zendesk.errors import invalid_token, unauthenticated


@dataclass(frozen=True)
class ZendeskCredentials:
    """What a client needs; made anew for each run."""

    email: str
    api_token: str
    client_id: str
    client_secret: str
    webhook_secret: str


def check(call: Call, tokens: Tokens, credentials: ZendeskCredentials) -> None:
    """Raises Refused unless the caller is known."""
    scheme, _, value = call.headers.get("Authorization", "").partition(" ")
    if scheme == "Bearer":
        if not tokens.good(value):
            raise invalid_token()
    elif scheme != "Basic" or not _basic(value, credentials):
        raise unauthenticated()


def _basic(value: str, credentials: ZendeskCredentials) -> bool:
    try:
        given = base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(given, f"{credentials.email}/token:{credentials.api_token}".encode())


def token(call: Call, tokens: Tokens, credentials: ZendeskCredentials) -> Answer:
    """POST /oauth/tokens with the grant type client_credentials, for confidential clients."""
    body = json_object(call)
    if body is None or body.get("grant_type") != "client_credentials":
        raise Refused({"error": "unsupported_grant_type", "error_description": "The grant type is not supported"}, 400)
    known = hmac.compare_digest(str(body.get("client_id")).encode(), credentials.client_id.encode())
    secret = hmac.compare_digest(str(body.get("client_secret")).encode(), credentials.client_secret.encode())
    if not (known and secret):
        text = "Client authentication failed due to unknown client or unsupported authentication method."
        raise Refused({"error": "invalid_client", "error_description": text}, 401)
    granted = {"access_token": tokens.issue(), "token_type": "bearer", "scope": str(body.get("scope") or "read")}
    return Answer({**granted, "expires_in": int(tokens.seconds)})
