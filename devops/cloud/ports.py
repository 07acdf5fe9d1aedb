"""What reading needs from a cloud account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
CloudMetric: TypeAlias = Literal[
    "cpu", "memory", "network_received", "network_sent", "status_check_failed", "running_tasks"
]
InstanceState: TypeAlias = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list, and where the rest begins."""

    items: Sequence[T]
    token: str | None = None


@dataclass(frozen=True)
class Instance:
    """A machine. Its tags were written by others."""

    id: str
    state: str
    type: str
    zone: str
    private_address: str
    launched: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """An ECS service, and how its newest deployment goes."""

    cluster: str
    name: str
    status: str
    desired: int
    running: int
    pending: int
    task_definition: str
    launch_type: str
    rollout: str
    reason: str


@dataclass(frozen=True)
class Alarm:
    """A CloudWatch alarm. Name and reason were written by others."""

    name: str
    state: str
    reason: str
    since: str
    watches: str
    """Metric and threshold, in words."""
    about: Mapping[str, str]


@dataclass(frozen=True)
class Watched:
    """Of what a metric is: an instance, or a service of an ECS cluster."""

    instance: str | None = None
    ecs_cluster: str | None = None
    service: str | None = None


@dataclass(frozen=True)
class CloudLine:
    """A line of a log group."""

    time: str
    stream: str
    text: str


@dataclass(frozen=True)
class CloudLines:
    """The newest lines, oldest first; `complete` False: there were more before, or there was no time for all."""

    items: Sequence[CloudLine]
    complete: bool


class CloudAccount(Protocol):
    """An account in one region, read as its caller. Every call has a deadline.

    Raises NotFound, Denied (the role may not), InvalidInput (a page token that has expired), Unavailable.
    """

    @property
    def name(self) -> str: ...

    @property
    def region(self) -> str: ...

    async def instances(
        self, state: InstanceState | None, name: str | None, limit: int, token: str | None
    ) -> Page[Instance]:
        """Of this state and Name tag; at least 5 a page."""
        ...

    async def instance(self, instance: str) -> Instance:
        """The one with this id, also when it is terminated."""
        ...

    async def ecs_clusters(self) -> Sequence[str]:
        """Names, in order."""
        ...

    async def services(self, ecs_cluster: str, limit: int, token: str | None) -> Page[Service]: ...

    async def service(self, ecs_cluster: str, name: str) -> Service: ...

    async def alarms(self, firing: bool, limit: int, token: str | None) -> Page[Alarm]: ...

    async def series(self, metric: CloudMetric, of: Watched, minutes: int) -> Sequence[tuple[float, float]]:
        """(seconds since 1970, value), oldest first; averages, of bytes and failures sums."""
        ...

    async def log_groups(self, limit: int) -> Sequence[str]: ...

    async def log_lines(self, group: str, minutes: int, tail: int) -> CloudLines: ...
