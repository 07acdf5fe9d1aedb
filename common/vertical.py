"""What a vertical registers, so that commands, demo and forks need to know nothing else about it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from common.settings import CommonSettings, Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from common.evals import Evals
    from common.jobs import JobQueue
    from common.runtime import Runtime
    from common.tour import Narrator, Stage


@dataclass(frozen=True)
class Served:
    """A vertical that is ready to run: over HTTP as `app`, over stdio as `server`."""

    app: "Starlette"
    server: Any
    runtime: "Runtime"


class Build(Protocol):
    def __call__(self, common: CommonSettings, base_url: str, stdio: bool = False) -> Served: ...


@dataclass(frozen=True)
class Check:
    """One line of `triptych doctor`. `run` raises with what to do."""

    name: str
    run: Callable[[CommonSettings], Awaitable[str]]


@dataclass(frozen=True)
class Vertical:
    """Name as in commands, tool prefix behind the gateway, and how to build it."""

    name: str
    prefix: str
    title: str
    port: int
    settings: type[Settings]
    build: Build
    tour: "Callable[[Narrator, Stage], Awaitable[None]]"
    work: Callable[[CommonSettings], Awaitable[None]] | None = None
    """Work on background jobs until cancelled."""
    queue: "Callable[[CommonSettings], AbstractAsyncContextManager[JobQueue]] | None" = None
    """Its background jobs, for `triptych dead-letters`."""
    commands: Sequence[Callable[..., None]] = ()
    checks: Sequence[Check] = ()
    evals: "Callable[[], Evals] | None" = None
    """Questions whose answers are known, for `triptych evals`."""
