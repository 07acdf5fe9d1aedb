"""Pooled connections to the replicas of one domain, over aiohttp."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from common.http.guard import GuardedResolver, base_url
from common.tls import client_context
from infra.gateway.wire import WireFailure

KEEPALIVE_SECONDS = 25.0
"""Less than the servers' own 30, so that it is hardly ever they who close."""
CONNECT_SECONDS = 2.0
NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class AiohttpReply:
    """See Reply."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.content_type = response.headers.get("Content-Type", "")
        self.length = response.content_length

    async def read(self) -> bytes:
        """See Reply."""
        return await self._response.content.readany()


class AiohttpWire:
    """See Wire."""

    def __init__(self, urls: list[str], ca_file: Path | None = None) -> None:
        for url in urls:
            base_url(url)
        self._urls = {url: URL(url) for url in urls}
        self._tls = client_context(ca_file)
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> AsyncIterator[AiohttpReply]:
        """See Wire."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        try:
            async with self._open().post(
                self._urls[url], data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                yield AiohttpReply(response)
        except NOT_SENT as error:
            raise WireFailure(type(error).__name__, sent=False) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise WireFailure(type(error).__name__, sent=True) from None

    async def status(self, url: str, seconds: float) -> int:
        """See Wire."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._open().get(URL(url), timeout=timeout, allow_redirects=False) as response:
                return response.status
        except NOT_SENT as error:
            raise WireFailure(type(error).__name__, sent=False) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise WireFailure(type(error).__name__, sent=True) from None

    async def close(self) -> None:
        """See Wire."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    # How many calls there are at once is decided before; this is never what they wait for.
                    limit=0,
                    keepalive_timeout=KEEPALIVE_SECONDS,
                    # An operator's names lead where the operator says.
                    resolver=GuardedResolver(allow_private=True),
                    ssl=self._tls,
                ),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
            )
        return self._session
