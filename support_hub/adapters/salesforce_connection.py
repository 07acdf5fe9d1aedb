"""Salesforce's limits and tokens.

Help: "OAuth 2.0 Client Credentials Flow", "OAuth 2.0 JWT Bearer Flow". REST API guide: `Sforce-Limit-Info`.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import RSAKey

from common.errors import Denied, RateLimited, SettingsError
from common.http.client import Answer, Request, ResilientClient
from common.http.credentials import BearerToken, Token
from common.http.status import Quota
from common.http.upstream import UpstreamMetrics
from support_hub.adapters.connection import upstream, with_secret
from support_hub.settings import SupportSettings

LIFE = 3600.0
"""Salesforce does not say how long a session lasts; one that has ended is renewed, too."""
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_SECONDS = 180
EXHAUSTED_PAUSE = 60.0
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")


def pause(headers: Mapping[str, str]) -> float:
    """Hold back once the day's requests are used up: more would only be refused."""
    match = _USAGE.search(headers.get("Sforce-Limit-Info") or "")
    return EXHAUSTED_PAUSE if match and int(match[1]) >= int(match[2]) > 0 else 0.0


def left(headers: Mapping[str, str]) -> Quota | None:
    """What remains of the day."""
    match = _USAGE.search(headers.get("Sforce-Limit-Info") or "")
    return Quota(int(match[2]) - int(match[1]), int(match[2]), "day") if match else None


def is_used_up(answer: Answer) -> bool:
    """Salesforce says 403 where others say 429."""
    return answer.status == 403 and b"REQUEST_LIMIT_EXCEEDED" in answer.body


def salesforce_client(settings: SupportSettings, metrics: UpstreamMetrics) -> ResilientClient:
    """The client with its limits and credentials. Raises SettingsError."""
    rate = settings.salesforce_per_second
    known = upstream("salesforce", str(settings.salesforce_url), settings.source_seconds, rate, pause, left)
    form, key = _grant(settings)
    # One client for all fetches: its breaker spares callers the wait for a sign-in that hangs.
    client = ResilientClient(replace(known, name="salesforce sign-in"), metrics=metrics)

    async def fetch() -> Token:
        if key is not None:
            return await _token(client, {**form, "assertion": _assertion(settings, key)})
        return await with_secret(settings, "salesforce_client_secret", form, partial(_token, client))

    return ResilientClient(known, BearerToken(fetch), metrics)


def _grant(settings: SupportSettings) -> tuple[dict[str, str], RSAKey | None]:
    if settings.salesforce_private_key_file is not None:
        return {"grant_type": JWT_BEARER}, _read_key(settings.salesforce_private_key_file)
    if settings.salesforce_client_secret is not None:
        return {"grant_type": "client_credentials", "client_id": settings.salesforce_client_id}, None
    raise SettingsError(
        "SUPPORT_SALESFORCE_URL needs SUPPORT_SALESFORCE_CLIENT_SECRET or SUPPORT_SALESFORCE_PRIVATE_KEY_FILE"
    )


def _read_key(file: Path) -> RSAKey:
    try:
        return RSAKey.import_key(file.read_text())
    except (OSError, ValueError) as error:
        problem = type(error).__name__
        raise SettingsError(f"SUPPORT_SALESFORCE_PRIVATE_KEY_FILE cannot be used ({file}): {problem}") from None


def _assertion(settings: SupportSettings, key: RSAKey) -> str:
    claims = {
        "iss": settings.salesforce_client_id,
        "sub": settings.salesforce_username,
        "aud": settings.salesforce_audience,
        "exp": int(time.time()) + JWT_SECONDS,
    }
    return jwt.encode({"alg": "RS256"}, claims, key)


async def _token(client: ResilientClient, form: Mapping[str, str]) -> Token:
    try:
        answer = await client.send(Request("POST", "services/oauth2/token", form=form, repeatable=True))
    finally:
        await client.close()
    if is_used_up(answer):
        raise RateLimited("Salesforce takes no more requests for today.")
    if answer.status != 200:
        raise Denied("Salesforce refuses the hub's credentials.", "The operator checks SUPPORT_SALESFORCE_*.")
    return Token(str(answer.json()["access_token"]), time.monotonic() + LIFE)
