"""Events of a cluster as they happen."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from common.errors import InvalidInput
from common.following import Following, Past
from common.security.principal import Principal
from common.security.untrusted import untrusted
from common.streams import START, Feeds, Place
from devops.access import Clusters
from devops.cursors import Cursors
from devops.events import MAX_MESSAGE, MAX_PAGES, PAGE, Event, event_of
from devops.kinds import EVENT
from devops.live import Look, Stream, identity_of, no_look
from devops.ports import Cluster, Manifest, Query


@dataclass(frozen=True)
class Question:
    """Which events; as whom the cluster is read."""

    identity: Hashable
    cluster: str
    namespace: str | None
    hidden: frozenset[str]
    fields: tuple[tuple[str, str], ...]

    @property
    def query(self) -> Query:
        return Query(self.namespace, fields=dict(self.fields), hidden=self.hidden, limit=PAGE)


@dataclass(frozen=True)
class EventEntry:
    """An event; its place is its version, since one that happens again is written anew."""

    place: Place
    event: Event
    suspicious: bool

    @property
    def size(self) -> int:
        return 2 * len(self.event.message) + 800

    @cached_property
    def as_json(self) -> str:
        """For browsers; made once for all of them."""
        event = self.event
        text, warning = f"{event.reason}: {event.message}", event.type != "Normal"
        source = f"{event.namespace}/{event.about}"
        shown = {"time": event.time, "source": source, "text": text, "warning": warning}
        return json.dumps({**shown, "suspicious": self.suspicious})


class LiveEvents:
    """Follows events; each question is watched once for everybody who may ask it."""

    def __init__(self, clusters: Clusters, cursors: Cursors, impersonate: bool = False) -> None:
        self._clusters = clusters
        self._cursors = cursors
        self._impersonate = impersonate
        self.feeds: Feeds[Question, EventEntry] = Feeds(self._open)

    @asynccontextmanager
    async def follow(
        self,
        who: Principal,
        cluster_name: str | None,
        namespace: str | None,
        about: str | None,
        warnings: bool,
        tail: int,
        resume: str | None = None,
        look: Look = no_look,
    ) -> AsyncIterator[Stream[Question, EventEntry]]:
        """The last `tail` events and what follows, or what follows `resume`. Raises NotFound, InvalidInput."""
        cluster = self._clusters.named(cluster_name)
        fields = {**({"involvedObject.name": about} if about else {}), **({"type": "Warning"} if warnings else {})}
        query = await self._clusters.query(cluster, who, namespace, fields=fields)
        key = Question(
            identity_of(who, self._impersonate), cluster.name, namespace, query.hidden, tuple(fields.items())
        )
        asked = ["follow_events", cluster.name, namespace, about, warnings, who.tenant, who.subject]
        before = {key: (int(self._cursors.open(resume, asked)), 0)} if resume else {}

        def seal(places: Mapping[Question, Place]) -> str:
            return self._cursors.seal(places.get(key, START)[0], asked)

        async def looked() -> None:
            await look()
            if namespace is not None:
                await self._clusters.check_namespace(cluster, who, namespace)

        async with Following(self.feeds, self._past, before) as following:
            await following.join([key])
            keep = self._seen_by(who, cluster, namespace)
            yield Stream(cluster, following, looked, seal, None if resume else tail, keep)

    def _seen_by(self, who: Principal, cluster: Cluster, namespace: str | None) -> Callable[[EventEntry], bool]:
        # The question leaves hidden namespaces out; one that was made since it was asked is left out here.
        return lambda entry: bool(namespace) or self._clusters.sees(who, cluster, entry.event.namespace)

    async def _open(
        self, key: Question, ready: Callable[[], None], after: Place | None
    ) -> AsyncGenerator[EventEntry, None]:
        cluster = self._clusters.named(key.cluster)
        version = str(after[0]) if after else (await cluster.objects(EVENT, replace(key.query, limit=1))).version
        ready()
        try:
            async with aclosing(cluster.watch(EVENT, key.query, version)) as items:
                async for item in items:
                    yield entry_of(item)
        except InvalidInput:
            # The cluster has forgotten what happened since: what it still has is read as a list.
            for entry in (await self._past(key, after or (int(version), 0))).items:
                yield entry

    async def _past(self, key: Question, after: Place) -> Past[EventEntry]:
        cluster, token, found = self._clusters.named(key.cluster), None, list[EventEntry]()
        for _ in range(MAX_PAGES):
            page = await cluster.objects(EVENT, replace(key.query, token=token))
            found += [entry for entry in map(entry_of, page.items) if entry.place > after]
            if (token := page.token) is None:
                break
        return Past(sorted(found, key=lambda entry: entry.place))


def entry_of(item: Manifest) -> EventEntry:
    """An event with its version."""
    event = event_of(item)
    clean = untrusted(event.message, MAX_MESSAGE)
    place = (int(item["metadata"]["resourceVersion"]), 0)
    return EventEntry(place, replace(event, message=clean.text), clean.suspicious)
