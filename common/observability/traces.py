"""What the last requests of this process did, step by step, and how long each step took.

It needs no collector: the console shows it. A step is named by what is asked of whom, never by arguments.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any, Literal

from common.errors import AppError

Layer = Literal["gateway", "domain", "server", "console", "limits", "cluster", "cloud", "upstream", "audit"]
MAX_STEPS = 200
"""Of one request."""
MAX_NAME = 120
MOST_TRACES, MOST_BYTES = 1000, 4 * 1024 * 1024
MOST_FOUND = 20


@dataclass(slots=True)
class Step:
    """A part of a request. `started` counts from its begin; `seconds` None: it had not ended when the request did."""

    layer: Layer
    name: str
    started: float = 0.0
    depth: int = 0
    seconds: float | None = None
    outcome: str = ""


@dataclass
class Trace:
    """One request, whose, and its steps in the order in which they began."""

    request_id: str
    layer: Layer
    name: str
    at: float = field(default_factory=time.time)
    """When it began: seconds since 1970."""
    writer: str = ""
    """Whose records in the audit log are about it."""
    tenant: str = ""
    subject: str = ""
    outcome: str = ""
    seconds: float | None = None
    steps: list[Step] = field(default_factory=list)
    left_out: int = 0
    """Steps that were too many."""
    is_kept: bool = True
    """False: nobody will ask for it."""
    clock: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return 600 + sum(200 + len(step.name) for step in self.steps)

    def begin(self, layer: Layer, name: str, depth: int) -> Step:
        """A step that is a part of this, unless there are too many or it is over."""
        step = Step(layer, name[:MAX_NAME], time.perf_counter() - self.clock, depth)
        if self.seconds is None and len(self.steps) < MAX_STEPS:
            self.steps.append(step)
        elif self.seconds is None:
            self.left_out += 1
        return step

    def finish(self) -> None:
        """What begins from now on is no part of it."""
        self.seconds = time.perf_counter() - self.clock
        self.outcome = self.outcome or "ok"


Others = Callable[[str, str], Awaitable[list[Trace]]]


async def no_others(_request_id: str, _tenant: str) -> list[Trace]:
    """For a server that is one process."""
    return []


_current: ContextVar[tuple[Trace, int] | None] = ContextVar("current_trace", default=None)
_tracer: Any = None
"""Of OpenTelemetry, where a collector is configured."""


def export_to(tracer: Any) -> None:
    """Make each step a span of OpenTelemetry, too; None: no more."""
    global _tracer
    _tracer = tracer


class step:  # noqa: N801 - reads as what it is used for; a generator would take four times as long
    """A part of the request that is being served. Its outcome is that of the block, unless the block sets another."""

    __slots__ = ("_span", "_taken", "_token", "_trace")

    def __init__(self, layer: Layer, name: str) -> None:
        current = _current.get()
        if current is None:
            self._trace, self._taken = None, Step(layer, name)
            return
        self._trace, depth = current
        self._taken = self._trace.begin(layer, name, depth)
        self._token = _current.set((self._trace, depth + 1))
        self._span = _tracer.start_as_current_span(f"{layer} {name}", record_exception=False) if _tracer else None

    def __enter__(self) -> Step:
        if self._trace and self._span:
            self._span.__enter__()
        return self._taken

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        trace, taken = self._trace, self._taken
        if trace is None:
            return
        if error is not None:
            taken.outcome = word_for(error)
        _current.reset(self._token)
        if trace.seconds is None:
            taken.seconds = time.perf_counter() - trace.clock - taken.started
            taken.outcome = taken.outcome or "ok"
        if self._span:
            self._span.__exit__(kind, error, at)


def word_for(error: BaseException) -> str:
    """What went wrong, in one word."""
    if isinstance(error, AppError):
        return error.code
    if isinstance(error, TimeoutError):
        return "deadline_exceeded"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "error"


def encoded(traces: Sequence[Trace]) -> bytes:
    """For another worker of this server."""
    return json.dumps([asdict(trace) for trace in traces]).encode()


def decoded(content: bytes) -> list[Trace]:
    """What another worker sent."""
    return [Trace(**{**item, "steps": [Step(**each) for each in item["steps"]]}) for item in json.loads(content)]


class Traces:
    """The last finished requests of this process, bounded in number and bytes. What a process forgets here is no loss:
    the audit log has the records. `writer` is this process in the audit log."""

    def __init__(self, writer: str = "", most: int = MOST_TRACES, most_bytes: int = MOST_BYTES) -> None:
        self.writer = writer
        self.others: Others = no_others
        self._kept: deque[Trace] = deque()
        self._most, self._most_bytes, self._bytes = most, most_bytes, 0

    @contextmanager
    def recorded(self, request_id: str, layer: Layer, name: str) -> Iterator[Trace]:
        """Keep what the block does as one request. The block says whose it is: without a tenant nobody sees it."""
        trace = Trace(request_id, layer, name[:MAX_NAME], writer=self.writer)
        token = _current.set((trace, 0))
        try:
            yield trace
        except BaseException as error:
            if not trace.outcome or isinstance(error, asyncio.CancelledError):
                trace.outcome = word_for(error)
            raise
        finally:
            _current.reset(token)
            trace.finish()
            if trace.is_kept:
                self._keep(trace)

    def of(self, request_id: str, tenant: str) -> list[Trace]:
        """The newest of this id, oldest first; a client chooses its ids, so there may be several."""
        mine = (trace for trace in self._newest(tenant) if trace.request_id == request_id)
        return list(islice(mine, MOST_FOUND))[::-1]

    async def everywhere(self, request_id: str, tenant: str) -> list[Trace]:
        """The same of all workers of this server."""
        found = [*self.of(request_id, tenant), *await self.others(request_id, tenant)]
        return sorted(found, key=lambda trace: trace.at)

    def last(self, tenant: str, count: int) -> list[Trace]:
        """The newest, newest first."""
        return list(islice(self._newest(tenant), count))

    def _newest(self, tenant: str) -> Iterator[Trace]:
        return (trace for trace in reversed(self._kept) if trace.tenant == tenant and tenant)

    def _keep(self, trace: Trace) -> None:
        self._kept.append(trace)
        self._bytes += trace.size
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._bytes -= self._kept.popleft().size
