"""Log lines as they are written, of one pod or of all pods of a workload, also of those that come later."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property

from common.errors import InvalidInput, NotFound
from common.following import LOOK_SECONDS, Following, Past
from common.security.principal import Principal
from common.security.untrusted import untrusted
from common.streams import START, Feeds, Place
from devops.access import Clusters
from devops.cursors import Cursors
from devops.live import Look, Numbering, Stream, identity_of, no_look, second_of
from devops.logs import MAX_AT_ONCE, MAX_PODS, Cleaner, Line, Logs, containers_of_pod
from devops.ports import Cluster, LogQuery, Manifest

MAX_CUT = 2000
LATER_TAIL = 500
"""Lines of a pod that came while it was followed."""
PAGE_BYTES = 128 * 1024
MORE_BYTES = 16 * PAGE_BYTES
"""For a second in which more was written than a page holds."""


@dataclass(frozen=True)
class Container:
    """Where lines come from. `identity`: as whom the cluster is read."""

    identity: Hashable
    cluster: str
    namespace: str
    pod: str
    name: str

    @property
    def source(self) -> str:
        return f"{self.pod}/{self.name}"


@dataclass(frozen=True)
class LogEntry:
    """A line without secrets and control characters; still data that others wrote."""

    place: Place
    line: Line
    suspicious: bool

    @property
    def size(self) -> int:
        return 2 * len(self.line.text) + 600

    @cached_property
    def as_json(self) -> str:
        """For browsers; made once for all of them."""
        line = self.line
        shown = {"time": line.time, "source": line.source, "text": line.text, "suspicious": self.suspicious}
        return json.dumps(shown)


@dataclass(frozen=True)
class LogQuestion:
    """What to follow: `pod`, or all pods of `workload`."""

    cluster: str | None
    namespace: str
    pod: str | None = None
    workload: str | None = None
    container: str | None = None


class Entries:
    """Turns the lines of one container into entries."""

    def __init__(self, source: str) -> None:
        self._cleaner = Cleaner(source)
        self._numbering = Numbering()

    def entry(self, raw: str) -> LogEntry:
        line = self._cleaner.line(raw)
        clean = untrusted(line.text, MAX_CUT)
        return LogEntry(self._numbering.place(line.time), Line(line.time, line.source, clean.text), clean.suspicious)


class LiveLogs:
    """Follows logs; each container is read once for everybody who follows it."""

    def __init__(self, clusters: Clusters, logs: Logs, cursors: Cursors, impersonate: bool = False) -> None:
        self._clusters = clusters
        self._logs = logs
        self._cursors = cursors
        self._impersonate = impersonate
        self._at_once = asyncio.Semaphore(MAX_AT_ONCE)
        self._looking = asyncio.Lock()
        self._looked: dict[Hashable, tuple[float, list[Container]]] = {}
        self.feeds: Feeds[Container, LogEntry] = Feeds(self._open)

    @asynccontextmanager
    async def follow(
        self, who: Principal, question: LogQuestion, tail: int, resume: str | None = None, look: Look = no_look
    ) -> AsyncIterator[Stream[Container, LogEntry]]:
        """The last `tail` lines and what follows, or what follows `resume`. Raises InvalidInput, NotFound, RateLimited.

        `look` is called every few seconds, and may raise to end it.
        """
        if (question.pod is None) == (question.workload is None):
            raise InvalidInput("Give either pod or workload.", "list_pods and list_workloads have their names.")
        cluster, wanted = await self._containers(who, question)
        asked = ["follow_logs", cluster.name, *vars(question).values(), who.tenant, who.subject]
        before = self._opened(resume, asked, wanted) if resume else {}

        def seal(places: Mapping[Container, Place]) -> str:
            return self._cursors.seal([[key.source, *place] for key, place in places.items() if place != START], asked)

        async def looked() -> None:
            await look()
            reader.tail = max(tail, LATER_TAIL)
            await self._clusters.check_namespace(cluster, who, question.namespace)
            await following.join(await self._present(who, question))

        reader = _History(self._at_once, cluster, LATER_TAIL if resume else tail)
        async with Following(self.feeds, reader.past, before) as following:
            await following.join(wanted)
            yield Stream(cluster, following, looked, seal, None if resume else tail)

    async def _containers(self, who: Principal, question: LogQuestion) -> tuple[Cluster, list[Container]]:
        cluster, pods = await self._logs.pods(
            who, question.cluster, question.namespace, question.pod, question.workload
        )
        identity = identity_of(who, self._impersonate)
        found = [
            Container(identity, cluster.name, question.namespace, pod["metadata"]["name"], name)
            for pod in _newest(pods)
            for name in containers_of_pod(pod, question.container)
        ]
        if not found:
            raise NotFound(f"There is no container {question.container} in these pods.")
        return cluster, found

    async def _present(self, who: Principal, question: LogQuestion) -> list[Container]:
        """The containers now, asked for once for all who follow them."""
        key = (identity_of(who, self._impersonate), question)
        async with self._looking:
            now = time.monotonic()
            if key not in self._looked or self._looked[key][0] <= now:
                self._looked = {old: found for old, found in self._looked.items() if found[0] > now}
                self._looked[key] = (now + LOOK_SECONDS, (await self._containers(who, question))[1])
            return self._looked[key][1]

    def _opened(self, resume: str, asked: Sequence[object], wanted: Sequence[Container]) -> dict[Container, Place]:
        stored = {source: (time, number) for source, time, number in self._cursors.open(resume, asked)}
        return {each: stored[each.source] for each in wanted if each.source in stored}

    async def _open(
        self, key: Container, ready: Callable[[], None], after: Place | None
    ) -> AsyncGenerator[LogEntry, None]:
        cluster = self._clusters.named(key.cluster)
        since = after
        if since is None:
            # Times come from the node that wrote them, so no other clock says where the present end is.
            last = (await cluster.logs(_query(key, 1, PAGE_BYTES))).splitlines()
            since = Entries(key.source).entry(last[-1]).place if last else None
        ready()
        entries = Entries(key.source)
        query = _query(key, None, 0, second_of(since) if since else None)
        async with aclosing(cluster.follow_log(query)) as lines:
            async for raw in lines:
                entry = entries.entry(raw)
                if after is None or entry.place > after:
                    yield entry


@dataclass
class _History:
    """What containers wrote before."""

    at_once: asyncio.Semaphore
    cluster: Cluster
    tail: int

    async def past(self, key: Container, after: Place) -> Past[LogEntry]:
        """A page of lines after a place."""
        for size in (PAGE_BYTES, MORE_BYTES):
            page = await self._page(key, after, size)
            if not page.more or any(entry.place > after for entry in page.items):
                break
        return page

    async def _page(self, key: Container, after: Place, size: int) -> Past[LogEntry]:
        begins = after == START
        query = _query(key, self.tail if begins else None, size, None if begins else second_of(after))
        try:
            async with self.at_once:
                text = await self.cluster.logs(query)
        except NotFound:
            return Past([])
        lines = text.splitlines()
        is_cut = len(text.encode()) >= size
        if is_cut and len(lines) > 1:
            lines.pop()
        entries = Entries(key.source)
        return Past([entries.entry(line) for line in lines], is_cut)


def _query(key: Container, tail: int | None, size: int, since: str | None = None) -> LogQuery:
    return LogQuery(key.namespace, key.pod, key.name, tail, size, since_time=since)


def _newest(pods: Sequence[Manifest]) -> Sequence[Manifest]:
    """While a rollout goes on there are more: those that came last say most."""
    return sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)[:MAX_PODS]
