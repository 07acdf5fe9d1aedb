"""Clusters to read from, simulated and real, and hands that put things into them."""

import asyncio
import contextlib
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from common.errors import Conflict, NotFound
from devops.adapters.kubernetes_api import KubernetesApi
from devops.adapters.kubernetes_cluster import KubernetesCluster
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.kinds import KINDS, NAMESPACE, POD, SERVICE_ACCOUNT
from devops.ports import Cluster, Manifest, Query

T = TypeVar("T")
Create = Callable[[Manifest], Awaitable[Any]]
BEHAVIOUR = "simulated/behaviour"
SIZE = {"cpu": "64", "memory": "256Gi", "pods": "20000"}
NUMBERS = itertools.count()


@dataclass
class Place:
    """A namespace of its own in a cluster."""

    cluster: Cluster
    create: Create
    namespace: str
    log: Path | None = None
    """In the real control plane: the file that all containers write to. The simulated ones write by the clock."""

    async def write(self, *lines: str) -> None:
        """Let the containers write, with the present time; the simulated ones do so by themselves."""
        if self.log is not None:
            with self.log.open("a") as file:
                for line in lines:
                    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
                    file.write(f"{now} stdout F {line}\n")

    async def deploy(self, name: str, replicas: int = 2, behaviour: str = "", **container: Any) -> None:
        """A Deployment of one container."""
        await self.create(deployment(self.namespace, name, replicas, behaviour, **container))

    async def pods(self, count: int, **labels: str) -> list[Manifest]:
        """The pods once there are so many of them, each with a status of its containers."""

        async def settled() -> list[Manifest] | None:
            items = (await self.cluster.objects(POD, Query(self.namespace, labels, limit=500))).items
            done = [item for item in items if item.get("status", {}).get("containerStatuses")]
            return list(done) if len(done) == count else None

        return await until(settled)


async def until(ask: Callable[[], Awaitable[T | None]], seconds: float = 40) -> T:
    """Poll until there is an answer."""
    async with asyncio.timeout(seconds):
        while True:
            if answer := await ask():
                return answer
            await asyncio.sleep(0.05)


def deployment(namespace: str, name: str, replicas: int, behaviour: str = "", **container: Any) -> Manifest:
    """A Deployment of one container `app`."""
    labels = {"app": name}
    annotations = {"annotations": {BEHAVIOUR: behaviour}} if behaviour else {}
    spec = {"name": "app", "image": "example.com/app:1", **container}
    template = {"metadata": {"labels": labels, **annotations}, "spec": {"containers": [spec]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def namespace_manifest(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def fresh_name() -> str:
    """A name that no other test of any run uses."""
    return f"test-{os.getpid()}-{next(NUMBERS)}"


@asynccontextmanager
async def simulated(folder: Path, haste: float = 1.0) -> AsyncIterator[Place]:
    """The simulated cluster; with `haste` its clock runs so many times as fast."""
    began, started = time.time(), time.monotonic()
    cluster = SimulatedCluster(folder / "simulated.db", lambda: began + (time.monotonic() - started) * haste)
    await cluster.open()
    try:
        name = fresh_name()
        await cluster.create(namespace_manifest(name))
        yield Place(cluster, cluster.create, name)
    finally:
        await cluster.close()


def creator(api: KubernetesApi) -> Create:
    """Creates objects through the real API."""

    async def create(item: Manifest) -> None:
        kind = KINDS.get(item["kind"])
        group = item["apiVersion"].rpartition("/")[0]
        # RBAC kinds are none of the server's, so only tests spell their paths.
        path = kind.path(item["metadata"].get("namespace")) if kind else _rbac_path(item, group)
        await api.request("POST", path, body=item)

    return create


def _rbac_path(item: Manifest, group: str) -> str:
    return f"/apis/{group}/v1/{item['kind'].lower()}s"


LOGS = ("pod.log", "pod-previous.log")
"""What the containers of the real control plane have written, all of them the same."""


@asynccontextmanager
async def real(folder: Path, nodes: int = 1) -> AsyncIterator[Place]:
    """A namespace in the real control plane, as its administrator."""
    api = KubernetesApi(folder / "admin.kubeconfig", None)
    cluster = KubernetesCluster("real", api)
    await cluster.open()
    try:
        create, name = creator(api), fresh_name()
        for number in range(nodes):
            with contextlib.suppress(Conflict):
                node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"}}
                await create({**node, "status": {"capacity": SIZE, "allocatable": SIZE}})
        await create(namespace_manifest(name))
        await until(lambda: _account(cluster, name))
        yield Place(cluster, create, name, folder / LOGS[0])
        # Its pods end beside; nobody waits for it.
        await api.request("DELETE", NAMESPACE.path(None, name))
    finally:
        # What a container of the next test has written is for that test to say.
        for log in LOGS:
            (folder / log).write_text("")
        await cluster.close()


async def _account(cluster: KubernetesCluster, namespace: str) -> Manifest | None:
    """Pods are refused before it is there."""
    try:
        return await cluster.get(SERVICE_ACCOUNT, namespace, "default")
    except NotFound:
        return None


def audit_records(folder: Path) -> list[dict[str, Any]]:
    """The API server's own audit log."""
    return [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()]
