"""The live page of the console: log lines and events as they come, over a WebSocket or as server-sent events."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response

from common.console.live import Batch, LiveAnswer, Opening
from common.console.page import HOME, Page, Visit
from common.errors import InvalidInput, RateLimited, Unavailable
from common.security.principal import Principal
from devops.bootstrap import Devops
from devops.kinds import NAMESPACE
from devops.live import Look, Stream
from devops.live_logs import LogQuestion
from devops.names import NAME_PATTERN, matches
from devops.ports import Query

TAIL = 100
PER_PERSON, PER_PROCESS = 8, 200
MAX_NAME = 253
SEE = "console:live"


class LivePages:
    """The page and its two streams; each is audited, and its rights are asked for again while it runs."""

    def __init__(self, devops: Devops) -> None:
        self._devops = devops
        self._open: Counter[tuple[str, str]] = Counter()

    def pages(self) -> list[Page]:
        """All addresses."""
        return [
            Page("/live", "Live", SEE, self.page, order=12),
            Page("/live/logs", "Live logs", SEE, self.logs, in_nav=False, recorded=True, live=True),
            Page("/live/events", "Live events", SEE, self.events, in_nav=False, recorded=True, live=True),
        ]

    async def page(self, visit: Visit) -> Response:
        """The form, and where the lines will be."""
        asked, clusters = visit.request.query_params, self._devops.clusters
        cluster = clusters.named(asked.get("cluster") or None)
        rows = (await cluster.table(NAMESPACE, Query(limit=500))).items
        chosen = {
            name: asked.get(name, "").strip()[:MAX_NAME] for name in ("cluster", "namespace", "workload", "pod", "show")
        }
        workloads = []
        if chosen["namespace"]:
            found = await self._devops.reading.workloads(
                visit.principal, cluster.name, _name(asked, "namespace"), None, {}, False, 200, None
            )
            workloads = [row.name for _, row in found.items]
        show = "events" if chosen["show"] == "events" else "logs"
        return visit.render(
            "live.html",
            chosen={**chosen, "show": show},
            namespaces=[row.name for row in rows if clusters.sees(visit.principal, cluster, row.name)],
            workloads=workloads,
            clusters=clusters.names,
            source=_source(chosen, show),
        )

    async def logs(self, visit: Visit) -> Response:
        """Lines of a pod or of a workload."""
        asked = visit.request.query_params
        namespace = _name(asked, "namespace")
        if namespace is None:
            raise InvalidInput("Name a namespace.", "Choose one in the form.")
        question = LogQuestion(
            _text(asked, "cluster"), namespace, _name(asked, "pod"), _name(asked, "workload"), _name(asked, "container")
        )

        def opening(after: str | None) -> AsyncGenerator[Batch, None]:
            live = self._devops.live_logs
            return _batches(live.follow(visit.principal, question, TAIL, after, self.look(visit)))

        return self.stream(visit, opening)

    async def events(self, visit: Visit) -> Response:
        """Events of a namespace, or of all that the person sees."""
        asked = visit.request.query_params
        warnings = asked.get("warnings") == "on"
        question = (_text(asked, "cluster"), _name(asked, "namespace"), _name(asked, "about"), warnings, TAIL)

        def opening(after: str | None) -> AsyncGenerator[Batch, None]:
            return _batches(self._devops.live_events.follow(visit.principal, *question, after, self.look(visit)))

        return self.stream(visit, opening)

    def look(self, visit: Visit) -> Look:
        """Raises Denied or Unavailable when a stream must end."""

        async def look() -> None:
            await visit.still_allowed()
            if visit.runtime.health.draining:
                raise Unavailable("This server is about to stop.")

        return look

    def stream(self, visit: Visit, opening: Opening) -> Response:
        """With a bound on how many a person has open."""

        async def counted(after: str | None) -> AsyncGenerator[Batch, None]:
            with self._counted(visit.principal):
                async with aclosing(opening(after)) as batches:
                    async for batch in batches:
                        yield batch

        return LiveAnswer(visit.request, counted)

    @contextmanager
    def _counted(self, who: Principal) -> Iterator[None]:
        key = (who.tenant, who.subject)
        if self._open[key] >= PER_PERSON or self._open.total() >= PER_PROCESS:
            raise RateLimited("Too many live pages are open.", "Close some, then open this one again.")
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


async def _batches(following: AbstractAsyncContextManager[Stream[Any, Any]]) -> AsyncGenerator[Batch, None]:
    async with following as stream, aclosing(stream.batches()) as batches:
        async for batch in batches:
            if batch:
                yield Batch(f"[{','.join(item.as_json for item in batch)}]", stream.token)


def _text(asked: QueryParams, name: str) -> str | None:
    return asked.get(name, "").strip()[:MAX_NAME] or None


def _name(asked: QueryParams, name: str) -> str | None:
    """A name of Kubernetes, as the tools take it. Raises InvalidInput."""
    value = _text(asked, name)
    if value is not None and not matches(NAME_PATTERN, value):
        raise InvalidInput(f"{name}: it is no name of Kubernetes.", "Choose one in the form.")
    return value


def _source(chosen: dict[str, str], show: str) -> str:
    """Where the page's stream is; empty while the form is not filled in."""
    what = "pod" if chosen["pod"] else "workload"
    if show == "logs" and not (chosen["namespace"] and chosen[what]):
        return ""
    parts = ("cluster", "namespace", what) if show == "logs" else ("cluster", "namespace")
    return f"{HOME}/live/{show}?{urlencode({part: chosen[part] for part in parts if chosen[part]})}"
