"""Prometheus' HTTP API (`/api/v1/query_range`). Queries are built here from checked names; nobody can send one."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.errors import Unavailable
from common.resilience.deadline import remaining
from devops.metrics import POINTS, Metric, Series

if TYPE_CHECKING:
    from aiohttp import ClientSession

QUERIES: dict[Metric, str] = {
    "cpu": 'sum by (pod) (rate(container_cpu_usage_seconds_total{{{where},container!=""}}[5m]))',
    "memory": 'sum by (pod) (container_memory_working_set_bytes{{{where},container!=""}})',
    "restarts": "sum by (pod) (kube_pod_container_status_restarts_total{{{where}}})",
    "network_received": "sum by (pod) (rate(container_network_receive_bytes_total{{{where}}}[5m]))",
}
MAX_SERIES = 50
MAX_BYTES = 4 * 1024 * 1024


class Prometheus:
    """The history of pods."""

    def __init__(self, url: str, token: str | None, timeout_seconds: float) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query_range"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout_seconds
        self._session: ClientSession | None = None

    async def series(self, metric: Metric, namespace: str, pods: Sequence[str], minutes: int) -> Sequence[Series]:
        """One series for each pod."""
        # Names of pods hold nothing but letters, digits, dashes and dots.
        names = "|".join(name.replace(".", "[.]") for name in pods[:MAX_SERIES])
        query = QUERIES[metric].format(where=f'namespace="{namespace}",pod=~"{names}"')
        end = time.time()
        step = max(15, minutes * 60 // POINTS)
        params = {"query": query, "start": f"{end - minutes * 60:.0f}", "end": f"{end:.0f}", "step": str(step)}
        return [_series(one) for one in (await self._ask(params))["data"]["result"][:MAX_SERIES]]

    async def _ask(self, params: dict[str, str]) -> dict[str, Any]:
        from aiohttp import ClientError, ClientSession

        if self._session is None:
            self._session = ClientSession(headers=self._headers)
        try:
            async with (
                asyncio.timeout(remaining(self._timeout)),
                self._session.post(self._url, data=params, allow_redirects=False) as answer,
            ):
                content = await answer.content.read(MAX_BYTES)
        except (ClientError, OSError, TimeoutError) as error:
            name = type(error).__name__
            raise Unavailable(f"Prometheus does not answer ({name}).", "Ask without `minutes`.") from None
        if answer.status != 200:
            raise Unavailable(f"Prometheus refuses the question (HTTP {answer.status}).", "Ask without `minutes`.")
        try:
            document: dict[str, Any] = json.loads(content)
        except ValueError:
            raise Unavailable("Prometheus gave no usable answer.", "Ask for fewer minutes.") from None
        return document

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _series(item: dict[str, Any]) -> Series:
    return Series(item["metric"].get("pod", ""), [(float(moment), float(value)) for moment, value in item["values"]])
