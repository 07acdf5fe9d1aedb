"""HubSpot's limits and token.

developers.hubspot.com, "API usage guidelines": 190 requests in ten seconds for a private app (Professional), told by
`X-HubSpot-RateLimit-*` on all answers but those of searches, of which there are five a second.
"""

from collections.abc import Mapping

from common.errors import SettingsError
from common.http.client import ResilientClient
from common.http.credentials import secret_headers
from common.http.status import Quota, quota
from common.http.upstream import UpstreamMetrics
from common.resilience.retry import RetryLimits
from support_hub.adapters.connection import as_seconds, upstream
from support_hub.settings import SupportSettings

SEARCHES, SEARCHES_AT_ONCE = 3.0, 2
"""Searches a second, and at first: together no more than five in any second."""
RETRIES = RetryLimits(first_wait=0.5)
"""A 429 of HubSpot does not say when; its shortest window is a second."""


def pause(headers: Mapping[str, str]) -> float:
    """Hold back for a part of the window when nothing remains of it."""
    if headers.get("X-HubSpot-RateLimit-Remaining") != "0":
        return 0.0
    return as_seconds(headers.get("X-HubSpot-RateLimit-Interval-Milliseconds")) / 1000


def left(headers: Mapping[str, str]) -> Quota | None:
    """What remains of the shortest window."""
    seconds = as_seconds(headers.get("X-HubSpot-RateLimit-Interval-Milliseconds")) / 1000
    remaining, most = (headers.get(f"X-HubSpot-RateLimit-{name}") for name in ("Remaining", "Max"))
    return quota(remaining, most, f"{seconds:.0f} s")


def hubspot_client(settings: SupportSettings, metrics: UpstreamMetrics) -> ResilientClient:
    """The client with its limits and token. Raises SettingsError."""
    if settings.hubspot_token is None:
        raise SettingsError("SUPPORT_HUBSPOT_URL needs SUPPORT_HUBSPOT_TOKEN")
    rate = settings.hubspot_per_second
    known = upstream("hubspot", str(settings.hubspot_url), settings.source_seconds, rate, pause, left, RETRIES)
    token = settings.hubspot_token.get_secret_value()
    return ResilientClient(known, secret_headers(token, settings.follow("hubspot_token"), _headers), metrics)


def _headers(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}
