"""Prometheus' HTTP API: `/api/v1/query_range`, `/api/v1/query` and `/api/v1/alerts`.

Queries are built here from checked names; nobody can send one.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from common.errors import AppError, Unavailable
from common.http.client import Request, ResilientClient
from common.http.credentials import FixedHeaders
from common.http.upstream import Upstream
from common.security.redaction import redact
from devops.alerts import Alert
from devops.budget import Counted
from devops.metrics import POINTS, Metric, Series

T = TypeVar("T")
QUERIES: dict[Metric, str] = {
    "cpu": 'sum by (pod) (rate(container_cpu_usage_seconds_total{{{where},container!=""}}[5m]))',
    "memory": 'sum by (pod) (container_memory_working_set_bytes{{{where},container!=""}})',
    "restarts": "sum by (pod) (kube_pod_container_status_restarts_total{{{where}}})",
    "network_received": "sum by (pod) (rate(container_network_receive_bytes_total{{{where}}}[5m]))",
    "errors": "sum by (pod) (rate({requests}{{{where},{failed}}}[5m]))",
}
COUNT = "sum by (namespace) (increase({requests}{{{where}}}[{seconds}s]))"
MAX_SERIES = 50
MAX_ALERTS = 2000
MAX_SUMMARY = 500
MAX_BYTES = 4 * 1024 * 1024
INACTIVE = "inactive"


class Prometheus:
    """The history of pods, and active alerts."""

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout_seconds: float,
        requests: str = "http_requests_total",
        status_label: str = "code",
    ) -> None:
        self._requests = requests
        self._failed = f'{status_label}=~"5.."'
        # Whoever runs this server names it: it is usually in the own network.
        upstream = Upstream(
            "Prometheus", url, timeout_seconds, attempt=timeout_seconds, max_bytes=MAX_BYTES, allow_private=True
        )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = ResilientClient(upstream, FixedHeaders(headers))

    async def series(self, metric: Metric, namespace: str, pods: Sequence[str], minutes: int) -> Sequence[Series]:
        """One series for each pod."""
        # Names of pods hold nothing but letters, digits, dashes and dots.
        names = "|".join(name.replace(".", "[.]") for name in pods[:MAX_SERIES])
        where = f'namespace="{namespace}",pod=~"{names}"'
        query = QUERIES[metric].format(where=where, requests=self._requests, failed=self._failed)
        end = time.time()
        step = max(15, minutes * 60 // POINTS)
        form = {"query": query, "start": f"{end - minutes * 60:.0f}", "end": f"{end:.0f}", "step": str(step)}
        request = Request("POST", "api/v1/query_range", form=form, repeatable=True)
        try:
            return await self._ask(request, lambda data: list(map(_series, data["result"][:MAX_SERIES])))
        except AppError as error:
            raise Unavailable(error.message, "Ask without `minutes`.") from None

    async def counted(self, namespaces: Sequence[str], seconds: int) -> Mapping[str, Counted]:
        """See Requests."""
        where = f'namespace=~"{"|".join(namespaces)}"'
        every, failed = [
            await self._counted(COUNT.format(requests=self._requests, where=asked, seconds=seconds))
            for asked in (where, f"{where},{self._failed}")
        ]
        return {name: (count, failed.get(name, 0.0)) for name, count in every.items()}

    async def _counted(self, query: str) -> Mapping[str, float]:
        request = Request("POST", "api/v1/query", form={"query": query}, repeatable=True)
        return await self._ask(
            request, lambda data: {each["metric"]["namespace"]: float(each["value"][1]) for each in data["result"]}
        )

    async def active(self) -> Sequence[Alert]:
        """See AlertSource."""
        found = await self._ask(Request("GET", "api/v1/alerts"), lambda data: list(map(_alert, data["alerts"])))
        return [alert for alert in found if alert.state != INACTIVE][:MAX_ALERTS]

    async def _ask(self, request: Request, read: Callable[[Any], T]) -> T:
        """What `read` makes of the answer's `data`. Raises Unavailable for whatever else comes."""
        answer = await self._client.send(request)
        if answer.status != 200:
            raise Unavailable(f"Prometheus refuses the question (HTTP {answer.status}).")
        try:
            return read(json.loads(answer.body)["data"])
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Unavailable("Prometheus gave no usable answer.") from None

    async def close(self) -> None:
        await self._client.close()


def _series(item: dict[str, Any]) -> Series:
    return Series(item["metric"].get("pod", ""), [(float(moment), float(value)) for moment, value in item["values"]])


def _alert(item: dict[str, Any]) -> Alert:
    labels = {str(name): str(value) for name, value in item["labels"].items()}
    notes = item.get("annotations") or {}
    return Alert(
        name=labels.get("alertname", ""),
        state=str(item["state"]),
        since=datetime.fromisoformat(item["activeAt"]).timestamp(),
        severity=labels.get("severity", ""),
        summary=str(redact(notes.get("summary") or notes.get("description") or "", MAX_SUMMARY)),
        labels=labels,
    )
