"""A real control plane with thousands of pods, and our server in front of it."""

import asyncio
import contextlib
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from devops.adapters.kubernetes_api import KubernetesApi
from devops.adapters.kubernetes_cluster import TABLE
from devops.kinds import POD
from devops.ports import Manifest
from infra.demo.servers import RunningServer, start_server, stop_server, wait_ready
from tests.benchmarks.machine import cpu_seconds
from tests.benchmarks.requests import structured, tool_call
from tests.support.clusters import SIZE, creator, deployment

AT_ONCE = 16
PAGE = 500
NAMESPACE, LIVE = "default", "live"
CALLERS = 32
PADDING = "x" * 3000
"""Makes a pod about as large as one that a few tools have written annotations to."""


def pod(number: int) -> Manifest:
    """Pods are put onto the node at once: it is reading that is measured."""
    name = f"web-{number:05}"
    labels = {"app": "web", "shard": str(number % 100), "pod-template-hash": "5d7c9f"}
    env = [{"name": f"SETTING_{index}", "value": f"value-{index}"} for index in range(12)]
    container = {"name": "app", "image": "example.com/web:2026.2.3", "env": env}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "annotations": {"note": PADDING}}
    spec = {"nodeName": "node-0", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def fill(folder: Path, count: int, progress: Callable[[int], None]) -> None:
    """Make the pods, and wait until all of them run."""
    api = KubernetesApi(folder / "admin.kubeconfig", None, timeout_seconds=60)
    await api.open()
    create, gate, made = creator(api), asyncio.Semaphore(AT_ONCE), 0

    async def one(number: int) -> None:
        nonlocal made
        async with gate:
            await create(pod(number))
        made += 1
        progress(made)

    try:
        await create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-0"}, "status": {"capacity": SIZE}})
        await create(deployment(NAMESPACE, LIVE, CALLERS))
        await asyncio.gather(*(one(number) for number in range(count)))
        while True:
            params = [("fieldSelector", "status.phase!=Running"), ("limit", "1")]
            if not json.loads(await api.get(POD.path(NAMESPACE), params))["items"]:
                return
            await asyncio.sleep(0.5)
    finally:
        await api.close()


@dataclass(frozen=True)
class Cost:
    """What listing everything took; `answer` in bytes."""

    seconds: float
    cpu: float
    pods: int
    size: int


async def _raw(folder: Path) -> Cost:
    api = KubernetesApi(folder / "admin.kubeconfig", None, timeout_seconds=60)
    await api.open()
    await api.get("/readyz", accept="*/*")
    started, cpu, pods, size, token = time.perf_counter(), time.process_time(), 0, 0, ""
    try:
        while True:
            params = [("limit", str(PAGE)), *([("continue", token)] if token else [])]
            body = await api.get(POD.path(None), params, TABLE)
            page = json.loads(body)
            pods, size = pods + len(page["rows"]), size + len(body)
            if not (token := page["metadata"].get("continue", "")):
                return Cost(time.perf_counter() - started, time.process_time() - cpu, pods, size)
    finally:
        await api.close()


def list_raw(folder: Path) -> Cost:
    """The API server's own tables, page by page, by the official client's connections: the yardstick."""
    return asyncio.run(_raw(folder))


class Ours:
    """Our server in a process of its own."""

    def __init__(self, server: RunningServer, keys: list[str]) -> None:
        self.server = server
        self.keys = keys
        self.port = int(server.url.rsplit(":", 1)[1])

    def live_pods(self) -> list[str]:
        """Names of the pods of a Deployment, so that looking one up goes up to its owner."""
        headers, body = tool_call("modern", "list_pods", {"namespace": NAMESPACE, "labels": {"app": LIVE}})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/mcp", body, {**headers, "Authorization": f"Bearer {self.keys[0]}"})
        page = structured(connection.getresponse().read())
        connection.close()
        return [item["name"] for item in page["items"]]

    @property
    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return cpu_seconds(self.server.process.pid)

    def list_all(self) -> Cost:
        """list_pods, page by page, over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        started, cpu, pods, size = time.perf_counter(), self.cpu, 0, 0
        cursor = None
        while True:
            headers, body = tool_call("modern", "list_pods", {"limit": PAGE, "cursor": cursor})
            connection.request("POST", "/mcp", body, {**headers, "Authorization": f"Bearer {self.keys[0]}"})
            answer = connection.getresponse().read()
            page = structured(answer)
            pods, size = pods + len(page["items"]), size + len(answer)
            if (cursor := page["next_cursor"]) is None:
                break
        connection.close()
        used = self.cpu - cpu
        return Cost(time.perf_counter() - started, used, pods, size)

    def peak_mib(self) -> float:
        """The most memory that the server has had so far."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


@contextlib.contextmanager
def ours(folder: Path, data: Path, callers: int = CALLERS) -> Iterator[Ours]:
    """`triptych serve devops` over the control plane, with a key for each caller."""
    given: dict[str, str] = {
        "DEVOPS_CLUSTER": "kubeconfig",
        "DEVOPS_KUBECONFIG": str(folder / "admin.kubeconfig"),
        "TRIPTYCH_RATE_LIMIT_PER_SECOND": "100000",
        "TRIPTYCH_RATE_LIMIT_BURST": "100000",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        store = ApiKeyStore(api_keys_path(CommonSettings(data_dir=data)))
        keys = [store.create(f"caller-{number}", "local", ["user"], [], "internal")[1] for number in range(callers)]
        server = start_server("devops", 0, data)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    try:
        wait_ready(server)
        yield Ours(server, keys)
    finally:
        stop_server(server)
