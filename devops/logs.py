"""Log lines of one pod, or of all pods of a workload merged by time: capped, redacted, and never trusted."""

import asyncio
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.errors import InvalidInput, NotFound
from common.security.principal import Principal
from common.security.redaction import REDACTED, redact
from common.security.untrusted import Untrusted, untrusted
from devops.access import Clusters
from devops.details import Details
from devops.key_blocks import KeyBlocks
from devops.kinds import POD
from devops.names import not_found
from devops.ports import Cluster, LogQuery, Manifest, Query

MAX_PODS = 20
MAX_AT_ONCE = 8
MAX_LINE = 2000
MIN_BYTES = 4096
"""Least that a pod gets of the bytes that all share."""


@dataclass(frozen=True)
class Line:
    """A line and when it was written (RFC 3339)."""

    time: str
    source: str
    text: str


@dataclass(frozen=True)
class LogText:
    """Lines of all sources as one text, oldest first."""

    cluster: Cluster
    sources: list[str]
    lines: int
    text: Untrusted
    truncated: bool


class Logs:
    """Reads logs within a number of bytes for each call."""

    def __init__(self, clusters: Clusters, details: Details, max_bytes: int) -> None:
        self._clusters = clusters
        self._details = details
        self._max_bytes = max_bytes
        self._at_once = asyncio.Semaphore(MAX_AT_ONCE)

    async def read(
        self,
        principal: Principal,
        cluster_name: str | None,
        namespace: str,
        pod: str | None,
        workload: str | None,
        container: str | None,
        tail: int,
        since_seconds: int | None,
        previous: bool,
    ) -> LogText:
        """Of a pod or of a workload; raises InvalidInput, NotFound."""
        if (pod is None) == (workload is None):
            raise InvalidInput("Give either pod or workload.", "list_pods and list_workloads have their names.")
        cluster, pods = await self.pods(principal, cluster_name, namespace, pod, workload)
        queries = [
            LogQuery(namespace, item["metadata"]["name"], name, tail, 0, since_seconds, previous)
            for item in pods[:MAX_PODS]
            for name in containers_of_pod(item, container)
        ]
        if not queries:
            raise NotFound(f"There is no container {container} in these pods.", _known(pods))
        read, cut = await self.lines(cluster, queries)
        kept = read[-tail:]
        several = len(queries) > 1
        text = "\n".join(f"{line.time} {line.source + ' ' if several else ''}{line.text}" for line in kept)
        sources = [f"{query.pod}/{query.container}" for query in queries]
        clean = untrusted(text, self._max_bytes)
        return LogText(
            cluster, sources, len(kept), clean, cut or clean.truncated or len(read) > tail or len(pods) > MAX_PODS
        )

    async def lines(self, cluster: Cluster, queries: Sequence[LogQuery]) -> tuple[list[Line], bool]:
        """Lines of all of them by time, and whether something was cut off."""
        share = max(MIN_BYTES, self._max_bytes // max(1, len(queries)))
        texts = await asyncio.gather(*(self._one(cluster, query, share) for query in queries))
        cut = any(len(text.encode()) >= share for text in texts)
        streams = [list(parse(text, f"{q.pod}/{q.container}")) for text, q in zip(texts, queries, strict=True)]
        return list(heapq.merge(*streams, key=lambda line: line.time)), cut

    async def _one(self, cluster: Cluster, query: LogQuery, share: int) -> str:
        async with self._at_once:
            return await cluster.logs(
                LogQuery(
                    query.namespace, query.pod, query.container, query.tail, share, query.since_seconds, query.previous
                )
            )

    async def pods(
        self, principal: Principal, cluster_name: str | None, namespace: str, pod: str | None, workload: str | None
    ) -> tuple[Cluster, Sequence[Manifest]]:
        """The pod, or all pods of the workload. Raises NotFound."""
        if pod is not None:
            found = await self._details.pod(principal, cluster_name, namespace, pod)
            return found.cluster, [found.item]
        owner = await self._details.find(principal, cluster_name, namespace, str(workload), None)
        pods = (await owner.cluster.objects(POD, Query(namespace, owner.labels, limit=MAX_PODS + 1))).items
        if not pods:
            raise not_found("pod of", str(workload), [])
        return owner.cluster, pods


def containers_of_pod(pod: Manifest, wanted: str | None) -> list[str]:
    """Names of its containers, or the one that is wanted if it is there."""
    names = [container["name"] for container in pod["spec"]["containers"]]
    if wanted is None:
        return names
    return [wanted] if wanted in [*names, *(c["name"] for c in pod["spec"].get("initContainers") or [])] else []


def _known(pods: Sequence[Manifest]) -> str:
    return f"There is: {', '.join(sorted({name for pod in pods for name in containers_of_pod(pod, None)}))}."


def parse(text: str, source: str) -> Iterator[Line]:
    """Lines with their times, without secrets."""
    cleaner = Cleaner(source)
    return (cleaner.line(raw) for raw in text.splitlines())


class Cleaner:
    """Takes secrets out of the lines of one source, one after the other: private keys also where they span several."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._keys = KeyBlocks()

    def line(self, raw: str) -> Line:
        """The line as it may be shown."""
        time, _, rest = raw.partition(" ")
        text = REDACTED if self._keys.hides(rest) else str(redact(rest, MAX_LINE))
        return Line(time, self._source, text)
