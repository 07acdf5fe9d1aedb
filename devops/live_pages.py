"""The live page of the console: log lines and events as they come, as server-sent events.

A browser that lost the connection sends the id of the last batch, and any replica goes on there.
"""

import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any
from urllib.parse import urlencode

from sse_starlette import EventSourceResponse
from starlette.datastructures import QueryParams
from starlette.responses import Response

from common.console.page import HOME, Page, Visit
from common.errors import AppError, InvalidInput, RateLimited, Unavailable
from common.security.principal import Principal
from devops.bootstrap import Devops
from devops.kinds import NAMESPACE
from devops.live import Look, Stream
from devops.live_logs import LogQuestion
from devops.names import NAME_PATTERN, matches
from devops.ports import Query

TAIL = 100
PER_PERSON, PER_PROCESS = 8, 200
PING_SECONDS = 15
SEND_SECONDS = 60
"""After which a browser that takes nothing any more is left."""
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
            Page("/live/logs", "Live logs", SEE, self.logs, in_nav=False, recorded=True),
            Page("/live/events", "Live events", SEE, self.events, in_nav=False, recorded=True),
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

        async def entries() -> AsyncGenerator[dict[str, str], None]:
            live = self._devops.live_logs
            async with live.follow(visit.principal, question, TAIL, _resume(visit), self.look(visit)) as stream:
                async with aclosing(_messages(stream)) as messages:
                    async for message in messages:
                        yield message

        return self.stream(visit, entries())

    async def events(self, visit: Visit) -> Response:
        """Events of a namespace, or of all that the person sees."""
        asked = visit.request.query_params
        warnings = asked.get("warnings") == "on"

        async def entries() -> AsyncGenerator[dict[str, str], None]:
            live, who = self._devops.live_events, visit.principal
            question = (_text(asked, "cluster"), _name(asked, "namespace"), _name(asked, "about"), warnings, TAIL)
            async with live.follow(who, *question, _resume(visit), self.look(visit)) as stream:
                async with aclosing(_messages(stream)) as messages:
                    async for message in messages:
                        yield message

        return self.stream(visit, entries())

    def look(self, visit: Visit) -> Look:
        """Raises Denied or Unavailable when a stream must end."""

        async def look() -> None:
            await visit.still_allowed()
            if visit.runtime.health.draining:
                raise Unavailable("This server is about to stop.")

        return look

    def stream(self, visit: Visit, entries: AsyncGenerator[dict[str, str], None]) -> Response:
        """As server-sent events, with a bound on how many a person has open."""

        async def guarded() -> AsyncGenerator[dict[str, str], None]:
            try:
                with self._counted(visit.principal):
                    async with aclosing(entries):
                        async for message in entries:
                            yield message
                yield {"event": "end", "data": json.dumps("Nothing follows: what was followed is gone.")}
            except Unavailable:
                # The browser connects anew, here or to another replica, and goes on where it was.
                return
            except AppError as error:
                yield {"event": "end", "data": json.dumps(str(error))}

        return EventSourceResponse(guarded(), ping=PING_SECONDS, sep="\n", send_timeout=SEND_SECONDS)

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


async def _messages(stream: Stream[Any, Any]) -> AsyncGenerator[dict[str, str], None]:
    async with aclosing(stream.batches()) as batches:
        async for batch in batches:
            if batch:
                yield {"id": stream.token, "data": f"[{','.join(item.as_json for item in batch)}]"}


def _resume(visit: Visit) -> str | None:
    return visit.request.headers.get("last-event-id") or None


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
