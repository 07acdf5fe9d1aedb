"""Zendesk's limits and tokens.

developer.zendesk.com, "Rate limits" (Team 200, Growth and Professional 400, Enterprise 700, high volume add-on 2,500
requests a minute) and "OAuth access tokens" (grant type client_credentials).
"""

import base64
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from common.errors import Denied, SettingsError
from common.http.client import Request, ResilientClient
from common.http.credentials import BearerToken, Credentials, Token, secret_headers
from common.http.status import Quota, quota
from common.http.upstream import Upstream, UpstreamMetrics
from support_hub.adapters.connection import as_seconds, upstream, with_secret
from support_hub.settings import SupportSettings

DEFAULT_LIFE = 7200.0


def pause(headers: Mapping[str, str]) -> float:
    """Hold back when nothing remains of the minute."""
    if headers.get("ratelimit-remaining") != "0":
        return 0.0
    return as_seconds(headers.get("ratelimit-reset"))


def left(headers: Mapping[str, str]) -> Quota | None:
    """What remains of the minute."""
    return quota(headers.get("ratelimit-remaining"), headers.get("ratelimit-limit"), "minute")


def zendesk_client(settings: SupportSettings, metrics: UpstreamMetrics) -> ResilientClient:
    """The client with its limits and credentials. Raises SettingsError."""
    rate = settings.zendesk_per_second
    known = upstream("zendesk", str(settings.zendesk_url), settings.source_seconds, rate, pause, left)
    return ResilientClient(known, _credentials(settings, known, metrics), metrics)


def _credentials(settings: SupportSettings, known: Upstream, metrics: UpstreamMetrics) -> Credentials:
    if settings.zendesk_client_secret is not None:
        form = {"grant_type": "client_credentials", "client_id": settings.zendesk_client_id, "scope": "read write"}
        # One client for all fetches: its breaker spares callers the wait for a sign-in that hangs.
        client = ResilientClient(replace(known, name="zendesk sign-in"), metrics=metrics)
        return BearerToken(lambda: with_secret(settings, "zendesk_client_secret", form, partial(_token, client)))
    if settings.zendesk_api_token is not None:

        def headers(token: str) -> Mapping[str, str]:
            text = f"{settings.zendesk_email}/token:{token}"
            return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

        token = settings.zendesk_api_token.get_secret_value()
        return secret_headers(token, settings.follow("zendesk_api_token"), headers)
    raise SettingsError("SUPPORT_ZENDESK_URL needs SUPPORT_ZENDESK_CLIENT_SECRET or SUPPORT_ZENDESK_API_TOKEN")


async def _token(client: ResilientClient, form: Mapping[str, str]) -> Token:
    # Nobody is signed in twice by a repetition, so that this POST may be sent again.
    try:
        answer = await client.send(Request("POST", "oauth/tokens", body=dict(form), repeatable=True))
    finally:
        await client.close()
    if answer.status != 200:
        raise Denied("Zendesk refuses the hub's credentials.", "The operator checks SUPPORT_ZENDESK_*.")
    body = answer.json()
    life = as_seconds(str(body.get("expires_in") or DEFAULT_LIFE))
    return Token(str(body["access_token"]), time.monotonic() + life)
