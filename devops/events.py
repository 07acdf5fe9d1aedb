"""Events, newest first. The API keeps them in the order of their names, so all are looked at."""

import heapq
from dataclasses import dataclass

from common.security.principal import Principal
from common.security.redaction import redact
from devops.access import Clusters
from devops.cursors import Cursors
from devops.kinds import EVENT
from devops.paging import pages_of
from devops.ports import Cluster, Manifest

PAGE = 500
MAX_PAGES = 20
MAX_MESSAGE = 500


@dataclass(frozen=True)
class Event:
    """What happened to what. `message` is untrusted text."""

    time: str
    namespace: str
    type: str
    reason: str
    about: str
    message: str
    count: int
    id: str


@dataclass(frozen=True)
class EventPage:
    cluster: Cluster
    items: list[Event]
    next_cursor: str | None
    complete: bool
    """False if there are more events than one call looks at."""


def event_of(item: Manifest) -> Event:
    """From either of the two forms in which components write events."""
    series = item.get("series") or {}
    time = item.get("lastTimestamp") or series.get("lastObservedTime") or item.get("eventTime")
    about = item["involvedObject"]
    return Event(
        time=str(time or item["metadata"]["creationTimestamp"])[:19] + "Z",
        namespace=item["metadata"]["namespace"],
        type=item.get("type") or "Normal",
        reason=item.get("reason") or "",
        about=f"{about.get('kind')}/{about.get('name')}",
        message=str(redact(item.get("message") or "", MAX_MESSAGE)),
        count=int(item.get("count") or series.get("count") or 1),
        id=f"{item['metadata']['namespace']}/{item['metadata']['name']}",
    )


class Events:
    """The newest events of a question; memory is bounded by two pages."""

    def __init__(self, clusters: Clusters, cursors: Cursors) -> None:
        self._clusters = clusters
        self._cursors = cursors

    async def page(
        self,
        principal: Principal,
        cluster_name: str | None,
        namespace: str | None,
        about: str | None,
        warnings: bool,
        limit: int,
        cursor: str | None,
    ) -> EventPage:
        """Of a namespace or of all that the caller sees; `about` is the name of one object."""
        cluster = self._clusters.named(cluster_name)
        fields = {**({"involvedObject.name": about} if about else {}), **({"type": "Warning"} if warnings else {})}
        query = await self._clusters.query(cluster, principal, namespace, fields=fields, limit=PAGE)
        question = ["events", cluster.name, namespace, about, warnings, principal.tenant, principal.subject]
        before = tuple(self._cursors.open(cursor, question)) if cursor else None
        newest: list[Event] = []
        complete = True
        async for items, complete in pages_of(cluster, EVENT, query, MAX_PAGES):  # noqa: B007 - the last value counts
            fresh = [
                event
                for event in map(event_of, items)
                if (namespace or self._clusters.sees(principal, cluster, event.namespace))
                and (before is None or _place(event) < before)
            ]
            newest = heapq.nlargest(limit + 1, [*newest, *fresh], key=_place)
        shown = newest[:limit]
        more = self._cursors.seal(list(_place(shown[-1])), question) if len(newest) > limit else None
        return EventPage(cluster, shown, more, complete)


def _place(event: Event) -> tuple[str, str]:
    return (event.time, event.id)
