"""The shapes of the tools' answers; their fields are promises to clients."""

from typing import Literal, cast

from pydantic import BaseModel, Field

from devops.kinds import Kind
from devops.ports import Cluster, Row
from devops.reading import Page, is_healthy

WorkloadKind = Literal["Deployment", "StatefulSet", "DaemonSet"]


class Answer(BaseModel):
    cluster: str = Field(description="name of the cluster; `(simulated)` after it means that nothing of it is real")


class WorkloadEntry(BaseModel):
    kind: WorkloadKind
    namespace: str
    name: str
    ready: str = Field(description="ready/wanted replicas")
    images: str
    age: str
    healthy: bool = Field(description="all replicas are ready and up to date; false: call diagnose")


class WorkloadList(Answer):
    items: list[WorkloadEntry]
    next_cursor: str | None = None


class PodEntry(BaseModel):
    namespace: str
    name: str
    ready: str = Field(description="ready/all containers")
    status: str = Field(description="Running, or why not, as kubectl says it")
    restarts: str
    node: str
    age: str


class PodList(Answer):
    items: list[PodEntry]
    next_cursor: str | None = None


def shown(cluster: Cluster) -> str:
    """Name of the cluster, with the label that nobody may overlook."""
    return f"{cluster.name} (simulated)" if cluster.simulated else cluster.name


def _workload(kind: Kind, row: Row) -> WorkloadEntry:
    cells = row.cells
    ready = f"{cells['ready']}/{cells['desired']}" if "desired" in cells else str(cells["ready"])
    return WorkloadEntry.model_construct(
        kind=cast(WorkloadKind, kind.name),
        namespace=row.namespace,
        name=row.name,
        ready=ready,
        images=str(cells.get("images", "")),
        age=str(cells["age"]),
        healthy=is_healthy(kind, row),
    )


def workload_list(page: Page) -> WorkloadList:
    items = [_workload(kind, row) for kind, row in page.items]
    return WorkloadList(cluster=shown(page.cluster), items=items, next_cursor=page.next_cursor)


def pod_list(page: Page) -> PodList:
    items = [
        PodEntry.model_construct(
            namespace=row.namespace,
            name=row.name,
            ready=str(row.cells["ready"]),
            status=str(row.cells["status"]),
            restarts=str(row.cells["restarts"]),
            node=str(row.cells["node"]),
            age=str(row.cells["age"]),
        )
        for _, row in page.items
    ]
    return PodList.model_construct(cluster=shown(page.cluster), items=items, next_cursor=page.next_cursor)
