"""Token exchange with an OAuth 2.0 issuer (RFC 8693), through the suite's own HTTP client."""

from urllib.parse import urlsplit

from common.errors import Denied, Unavailable
from common.http.client import Request, ResilientClient
from common.http.upstream import Upstream, UpstreamMetrics
from infra.gateway.passport import Granted
from infra.gateway.settings import Exchange

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind of token


class TokenExchange:
    """See Issuer."""

    def __init__(self, prefix: str, settings: Exchange, metrics: UpstreamMetrics) -> None:
        parts = urlsplit(settings.token_url)
        self._path = parts.path.lstrip("/")
        self._settings = settings
        self._prefix = prefix
        upstream = Upstream(f"{prefix} token exchange", f"{parts.scheme}://{parts.netloc}", deadline=5.0, attempt=3.0)
        self._client = ResilientClient(upstream, metrics=metrics)

    async def exchange(self, token: str) -> Granted:
        """See Issuer."""
        form = {
            "grant_type": GRANT,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN,
            "requested_token_type": ACCESS_TOKEN,
            "audience": self._settings.audience,
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret.get_secret_value(),
        }
        if self._settings.scope:
            form["scope"] = self._settings.scope
        # The issuer keeps nothing of it, so it may be asked twice.
        answer = await self._client.send(Request("POST", self._path, form=form, repeatable=True))
        if answer.status >= 400:
            raise Denied(f"The issuer gave no token for {self._prefix}.", "Ask the operator for access to it.")
        found = answer.json()
        if not isinstance(found, dict) or not isinstance(found.get("access_token"), str):
            raise Unavailable("The issuer's answer has no token.", "Try again later.")
        seconds = found.get("expires_in")
        return Granted(found["access_token"], float(seconds) if isinstance(seconds, int | float) else 60.0)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
