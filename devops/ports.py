"""What reading needs from a cluster."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from devops.kinds import Kind

Manifest: TypeAlias = dict[str, Any]
"""An object as the Kubernetes API gives it."""


@dataclass(frozen=True)
class Query:
    """Which objects of a kind; `namespace` None means all, but those in `hidden`."""

    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    limit: int = 100
    token: str | None = None
    """Where the page before ended."""


@dataclass(frozen=True)
class Row:
    """One object as the API server prints it in a table; column names are in lower case."""

    namespace: str
    name: str
    created: str
    labels: Mapping[str, str]
    cells: Mapping[str, Any]


@dataclass(frozen=True)
class Rows:
    """A page of a table."""

    items: Sequence[Row]
    token: str | None = None


@dataclass(frozen=True)
class Objects:
    """A page of whole objects."""

    items: Sequence[Manifest]
    token: str | None = None
    version: str = ""
    """Of the whole list: where `watch` goes on."""


@dataclass(frozen=True)
class LogQuery:
    """Which lines of one container. `tail` None: all; what is over `max_bytes` is cut off at the end."""

    namespace: str
    pod: str
    container: str
    tail: int | None
    max_bytes: int
    since_seconds: int | None = None
    previous: bool = False
    since_time: str | None = None
    """RFC 3339; a second is the finest that counts."""


@dataclass(frozen=True)
class Usage:
    """What a pod or node uses: processor cores, and bytes of memory."""

    namespace: str
    name: str
    cpu: float
    memory: float


class Cluster(Protocol):
    """A cluster that can be read. Each call but the two live ones has a deadline; none sends anything but GET.

    Raises NotFound, Denied (the server's own rights do not suffice), Unavailable, InvalidInput (a page token that has
    expired).
    """

    @property
    def name(self) -> str: ...

    @property
    def simulated(self) -> bool:
        """Whether this is the simulated cluster; every answer says so."""
        ...

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest: ...

    async def table(self, kind: Kind, query: Query) -> Rows: ...

    async def objects(self, kind: Kind, query: Query) -> Objects: ...

    async def logs(self, query: LogQuery) -> str:
        """Lines that begin with their time, RFC 3339."""
        ...

    def follow_log(self, query: LogQuery) -> AsyncGenerator[str, None]:
        """The same lines and then those that follow, as they are written, until the container ends."""
        ...

    def watch(self, kind: Kind, query: Query, version: str) -> AsyncGenerator[Manifest, None]:
        """Objects that are made or changed after this version, as it happens, until the cluster ends it.

        Raises InvalidInput if the cluster does not know any more what happened since.
        """
        ...

    async def pod_usage(self, query: Query) -> Sequence[Usage]:
        """From metrics.k8s.io."""
        ...

    async def node_usage(self) -> Sequence[Usage]: ...
