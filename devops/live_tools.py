"""Tools that follow: what comes is reported as progress while the call runs, and is whole in its answer."""

import asyncio
from collections.abc import Callable, Hashable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from fastmcp import Context, FastMCP
from fastmcp.tools.base import ToolResult
from mcp.types import ToolAnnotations
from pydantic import Field

from common.resilience.deadline import remaining
from common.security.principal import current_principal
from common.security.untrusted import untrusted
from common.streams import Item
from devops import arguments as arg
from devops.answers import EventEntry as EventShown
from devops.answers import FollowedEvents, event_shown, shown
from devops.detail_answers import FollowedLogs
from devops.live import Stream
from devops.live_events import EventEntry, LiveEvents
from devops.live_logs import LiveLogs, LogEntry, LogQuestion

READS = ToolAnnotations(readOnlyHint=True, idempotentHint=True, openWorldHint=False)
MAX_SECONDS = 55
MAX_REPORT = 4000
"""Characters of one progress message; the answer has the rest."""
PAUSE_SECONDS = 0.05
"""What comes within it is reported together."""
T = TypeVar("T", bound=Item)
K = TypeVar("K", bound=Hashable)
Seconds = Annotated[int, Field(description="how long", ge=1, le=MAX_SECONDS)]
Most = Annotated[int, Field(description="stop after so many", ge=1, le=2000)]
Resume = Annotated[str | None, Field(description="resume of the last answer: what came since", max_length=20_000)]


@dataclass
class Followed(Generic[T]):
    """What came, and why it ended."""

    items: list[T] = field(default_factory=list)
    ended: str = "the time is over"


async def follow(
    context: Context, stream: Stream[K, T], text: Callable[[T], str], seconds: float, most: int, max_bytes: int
) -> Followed[T]:
    """Report what comes until the time is over or it is enough."""
    followed, left = Followed[T](), max_bytes
    stream.following.most = most
    # The rest of the deadline is for the answer.
    seconds = max(0.5, min(seconds, remaining(seconds + 2.0) - 2.0))
    try:
        async with asyncio.timeout(seconds), aclosing(stream.batches()) as batches:
            async for batch in batches:
                texts = [text(item) for item in batch]
                followed.items += batch
                left -= sum(map(len, texts))
                if texts:
                    await context.report_progress(len(followed.items), most, "\n".join(texts)[:MAX_REPORT])
                stream.following.most = most - len(followed.items)
                if len(followed.items) >= most or left <= 0:
                    followed.ended = "it is enough for one answer"
                    return followed
            followed.ended = "nothing follows: what was followed is gone"
    except TimeoutError:
        pass
    return followed


def log_text(entry: LogEntry, several: bool) -> str:
    """A line as text."""
    return f"{entry.line.time} {entry.line.source + ' ' if several else ''}{entry.line.text}"


def event_text(entry: EventEntry) -> str:
    """An event as text."""
    event = entry.event
    return f"{event.time} {event.type} {event.reason} {event.namespace}/{event.about}: {event.message}"


def add_live_tools(server: FastMCP[Any], logs: LiveLogs, events: LiveEvents, max_bytes: int) -> None:
    """follow_logs, follow_events."""

    @server.tool(title="Follow logs", annotations=READS, output_schema=FollowedLogs.model_json_schema())
    async def follow_logs(
        namespace: arg.Namespace,
        context: Context,
        pod: Annotated[arg.OptionalName, Field(description="this pod")] = None,
        workload: Annotated[arg.OptionalName, Field(description="instead: all its pods")] = None,
        container: Annotated[arg.OptionalName, Field(description="default: all")] = None,
        seconds: Seconds = 15,
        tail: Annotated[int, Field(description="lines before now", ge=0, le=500)] = 10,
        lines: Most = 500,
        resume: Resume = None,
        cluster: arg.ClusterName = None,
    ) -> ToolResult:
        """Wait for new log lines, reported as progress as they come. For what was written before, use get_logs."""
        question = LogQuestion(cluster, namespace, pod, workload, container)
        async with logs.follow(current_principal.get(), question, tail, resume) as stream:
            several = len(stream.following.sources) > 1
            found = await follow(context, stream, lambda entry: log_text(entry, several), seconds, lines, max_bytes)
            text = untrusted("\n".join(log_text(entry, several) for entry in found.items), 2 * max_bytes)
            answer = FollowedLogs(
                cluster=shown(stream.cluster),
                sources=[key.source for key in stream.following.sources],
                lines=len(found.items),
                text=text.text,
                truncated=text.truncated,
                suspicious=text.suspicious,
                resume=stream.token,
                ended=found.ended,
            )
        head = f"{answer.lines} lines in {answer.cluster}; {answer.ended}"
        return ToolResult(content=f"{head}\n{text.fenced}", structured_content=answer)

    @server.tool(title="Follow events", annotations=READS)
    async def follow_events(
        context: Context,
        namespace: arg.AnyNamespace = None,
        about: Annotated[arg.OptionalName, Field(description="only of this object")] = None,
        warnings: Annotated[bool, Field(description="only warnings")] = False,
        seconds: Seconds = 15,
        limit: Most = 200,
        resume: Resume = None,
        cluster: arg.ClusterName = None,
    ) -> FollowedEvents:
        """Wait for new events, reported as progress as they come. Use it to watch a rollout."""
        who = current_principal.get()
        async with events.follow(who, cluster, namespace, about, warnings, 0, resume) as stream:
            found = await follow(context, stream, event_text, seconds, limit, max_bytes)
            items: list[EventShown] = [event_shown(entry.event) for entry in found.items]
            return FollowedEvents(
                cluster=shown(stream.cluster), items=items, resume=stream.token, ended=found.ended, next_cursor=None
            )
