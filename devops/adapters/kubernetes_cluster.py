"""A real cluster behind the ports for reading. It sends GET and nothing else."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from common.errors import InvalidInput, NotFound, Unavailable
from devops.adapters.kubernetes_api import JSON, KubernetesApi
from devops.kinds import Kind
from devops.ports import LogQuery, Manifest, Objects, Query, Row, Rows, Usage
from devops.quantities import parse_quantity

TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io"
METRICS = "/apis/metrics.k8s.io/v1beta1"
MAX_LINE = 64 * 1024
MAX_OBJECT = 4 * 1024 * 1024
WATCH_SECONDS = 300
"""After which the API server ends a watch, and it is opened anew."""


class KubernetesCluster:
    """Lists are tables made by the API server, page by page: a quarter of the work of typed lists."""

    simulated = False

    def __init__(self, name: str, api: KubernetesApi) -> None:
        self.name = name
        self.api = api

    async def open(self) -> None:
        await self.api.open()

    async def close(self) -> None:
        await self.api.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest:
        item: Manifest = json.loads(await self.api.get(kind.path(namespace, name)))
        return without_secrets(item)

    async def objects(self, kind: Kind, query: Query) -> Objects:
        page = json.loads(await self.api.get(kind.path(query.namespace), _params(query)))
        # Items of a list do not name their kind.
        items = [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in page["items"]]
        return Objects([without_secrets(item) for item in items], *_rest(page))

    async def table(self, kind: Kind, query: Query) -> Rows:
        page = json.loads(await self.api.get(kind.path(query.namespace), _params(query), TABLE))
        columns = [column["name"].lower() for column in page["columnDefinitions"]]
        rows = [_row(row, columns) for row in page.get("rows") or []]
        return Rows(rows, page["metadata"].get("continue") or None)

    async def logs(self, query: LogQuery) -> str:
        params = [*_log_params(query), ("limitBytes", str(query.max_bytes))]
        try:
            content = await self.api.get(_log_path(query), params, "*/*")
        except InvalidInput:
            # A container that has not started, or has no previous run, has no lines; that is no mistake of the caller.
            return ""
        return content.decode(errors="replace")

    async def follow_log(self, query: LogQuery) -> AsyncGenerator[str, None]:
        params = [*_log_params(query), ("follow", "true")]
        try:
            async with aclosing(self.api.lines(_log_path(query), params, MAX_LINE, "*/*")) as lines:
                async for line in lines:
                    yield line.decode(errors="replace")
        except InvalidInput:
            return

    async def watch(self, kind: Kind, query: Query, version: str) -> AsyncGenerator[Manifest, None]:
        params = [(key, value) for key, value in _params(query) if key not in ("limit", "continue")]
        params += [("watch", "true"), ("resourceVersion", version), ("timeoutSeconds", str(WATCH_SECONDS))]
        async with aclosing(self.api.lines(kind.path(query.namespace), params, MAX_OBJECT)) as lines:
            async for line in lines:
                change = json.loads(line)
                if change["type"] == "ERROR":
                    raise InvalidInput("The cluster has forgotten what happened since.", "Start again.")
                if change["type"] in ("ADDED", "MODIFIED"):
                    yield without_secrets(change["object"])

    async def pod_usage(self, query: Query) -> Sequence[Usage]:
        path = f"{METRICS}/namespaces/{query.namespace}/pods" if query.namespace else f"{METRICS}/pods"
        items = await self._metrics(path, [(key, value) for key, value in _params(query) if key != "limit"])
        return [_pod_usage(item) for item in items if item["metadata"]["namespace"] not in query.hidden]

    async def node_usage(self) -> Sequence[Usage]:
        items = await self._metrics(f"{METRICS}/nodes", [])
        return [_usage("", item["metadata"]["name"], [item["usage"]]) for item in items]

    async def _metrics(self, path: str, params: Sequence[tuple[str, str]]) -> list[Manifest]:
        try:
            items: list[Manifest] = json.loads(await self.api.get(path, params))["items"]
            return items
        except NotFound:
            raise Unavailable("This cluster serves no metrics (metrics.k8s.io).", "Install metrics-server.") from None


def _rest(page: Mapping[str, Any]) -> tuple[str | None, str]:
    return page["metadata"].get("continue") or None, page["metadata"].get("resourceVersion", "")


def _log_path(query: LogQuery) -> str:
    return f"/api/v1/namespaces/{query.namespace}/pods/{query.pod}/log"


def _log_params(query: LogQuery) -> list[tuple[str, str]]:
    params = [("container", query.container), ("timestamps", "true")]
    params.append(("previous", "true" if query.previous else "false"))
    given = {"tailLines": query.tail, "sinceSeconds": query.since_seconds, "sinceTime": query.since_time}
    return params + [(name, str(value)) for name, value in given.items() if value is not None]


def _params(query: Query) -> list[tuple[str, str]]:
    params = [("limit", str(query.limit))]
    fields = [f"{path}={value}" for path, value in query.fields.items()]
    if query.namespace is None:
        fields += [f"metadata.namespace!={name}" for name in sorted(query.hidden)]
    if fields:
        params.append(("fieldSelector", ",".join(fields)))
    if query.labels:
        params.append(("labelSelector", ",".join(f"{key}={value}" for key, value in query.labels.items())))
    if query.token:
        params.append(("continue", query.token))
    return params


def _row(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    metadata = row["object"]["metadata"]
    cells = dict(zip(columns, row["cells"], strict=True))
    created, labels = metadata["creationTimestamp"], metadata.get("labels", {})
    return Row(metadata.get("namespace", ""), metadata["name"], created, labels, cells)


def _usage(namespace: str, name: str, parts: Sequence[Mapping[str, str]]) -> Usage:
    cpu, memory = (sum(parse_quantity(part.get(resource, 0)) for part in parts) for resource in ("cpu", "memory"))
    return Usage(namespace, name, cpu, memory)


def _pod_usage(item: Manifest) -> Usage:
    metadata = item["metadata"]
    return _usage(metadata["namespace"], metadata["name"], [part["usage"] for part in item["containers"]])


def without_secrets(item: Manifest) -> Manifest:
    """The values of a Secret stay here, also those in the copy that kubectl leaves in an annotation."""
    item.get("metadata", {}).get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if item.get("kind") == "Secret":
        for part in ("data", "stringData"):
            if part in item:
                item[part] = dict.fromkeys(item[part], "[redacted]")
    return item
