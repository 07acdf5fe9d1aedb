"""Notices as signed webhooks."""

import json
import time
from pathlib import Path

from yarl import URL

from common.errors import InvalidInput, Unavailable
from common.http.client import Request, ResilientClient
from common.http.upstream import Upstream, UpstreamMetrics
from common.security.webhook_signature import signed_headers
from devops.notify.courier import Gone
from devops.notify.notice import Notice

MAX_ANSWER = 64 * 1024
GONE = 410


class WebhookNotifier:
    """Implements Notifier. Redirects are not followed, and public names must not lead into the own network."""

    channel = "webhook"

    def __init__(
        self, url: str, secret: bytes, ca_file: Path | None = None, metrics: UpstreamMetrics | None = None
    ) -> None:
        address = URL(url)
        upstream = Upstream(
            "notify-webhook", str(address.origin()), deadline=10.0, attempt=5.0, max_bytes=MAX_ANSWER, ca_file=ca_file
        )
        self._target = address.raw_path_qs
        self._secret = secret
        self._client = ResilientClient(upstream, metrics=metrics)

    async def send(self, notice: Notice) -> None:
        """See Notifier. Signed at each try, so that the time is that of the try."""
        body = json.dumps(notice.as_json(), separators=(",", ":")).encode()
        signed = signed_headers(self._secret, notice.id, int(time.time()), body)
        headers = {"Content-Type": "application/json", **signed}
        # The receiver drops what comes twice, by its id.
        answer = await self._client.send(Request("POST", self._target, content=body, headers=headers, repeatable=True))
        if answer.status == GONE:
            raise Gone("The webhook's receiver is gone (410).")
        if answer.status >= 300:
            raise Unavailable(f"The webhook's receiver answered with status {answer.status}.")

    async def check(self) -> str:
        """See Notifier."""
        try:
            answer = await self._client.send(Request("HEAD", self._target))
        except InvalidInput as error:
            raise Unavailable(error.message) from None
        return f"webhook: {URL(self._client.upstream.url).host} answers ({answer.status} to HEAD)"

    async def close(self) -> None:
        """See Notifier."""
        await self._client.close()
