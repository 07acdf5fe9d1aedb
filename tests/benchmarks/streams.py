"""Fifty people follow the logs of twenty pods: how long until a line is with all of them?"""

import asyncio
import re
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from websockets.asyncio.client import connect

from devops.adapters.kubernetes_api import KubernetesApi
from devops.adapters.kubernetes_cluster import KubernetesCluster
from devops.kinds import POD
from devops.ports import LogQuery, Query
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.devops_cluster import Ours, ours
from tests.benchmarks.machine import cpu_seconds, resident_bytes_of
from tests.benchmarks.result import Result, Table, Target, percentile
from tests.services import kubernetes
from tests.support.clusters import Place, real

FOLLOWERS, PODS, STOPPED = 50, 20, 10
ABOUT = f"""A Kubernetes 1.37 control plane with {PODS} pods; kwok, which stands in for the kubelets, serves one file
as the log of each of them. {FOLLOWERS} browsers follow all pods, half of them over server-sent events of our server
and half over WebSockets, so a line that is written is {PODS} lines for {FOLLOWERS} followers at the same moment.
Measured from the write to the arrival in the client: API server and kwok are in it. What these take alone is the same
measurement on one connection to the API server for each pod. In each round {STOPPED} more followers connect and do not
read, megabytes are written for them, and when the server has nothing left to do for them the same is measured again;
the ratio is the median of the rounds. Everything, clients included, shares the machine."""
EVERY_SECONDS = 0.5
GIVE_UP_SECONDS = 60.0
BURSTS, LINES_OF_BURST = 6, 15
CALM_SECONDS, CALM_SHARE = 1.0, 0.2
WARM = 2
"""Rounds after which the buffers of all connections have been as full as they get."""
LINE = re.compile(rb"bench-(\d+)-")
Way: TypeAlias = Literal["API server", "events", "websocket"]
Follower: TypeAlias = tuple[Way, AsyncIterable[bytes | str]]


@dataclass
class Written:
    """What was written when, and when it arrived, each line once for each pod and follower."""

    log: Path
    at: dict[int, float] = field(default_factory=dict)
    by_way: dict[Way, list[float]] = field(default_factory=lambda: {"API server": [], "events": [], "websocket": []})
    arrived: int = 0

    @property
    def delays(self) -> list[float]:
        """Seconds, of all ways."""
        return [delay for each in self.by_way.values() for delay in each]

    def write(self, padding: str = "") -> None:
        """One line."""
        number = len(self.at)
        self.at[number] = time.perf_counter()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        with self.log.open("a") as file:
            file.write(f"{now} stdout F bench-{number}- {padding}\n")

    def saw(self, piece: bytes, way: Way) -> None:
        """Count the lines of a piece of a stream."""
        now = time.perf_counter()
        for found in LINE.finditer(piece):
            self.arrived += 1
            self.by_way[way].append(now - self.at[int(found[1])])

    async def all_arrived(self, count: int) -> None:
        """Wait for the last one. Raises TimeoutError, since a lost line never comes."""
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while self.arrived < count:
                await asyncio.sleep(0.02)


def run(run: Run) -> Result:
    """Start, follow, measure, stop."""
    plane = kubernetes.start()
    folder = Path(next(plane))
    try:
        with tempfile.TemporaryDirectory() as data, ours(folder, Path(data), FOLLOWERS + STOPPED) as server:
            return asyncio.run(_measure(run, folder, server))
    finally:
        plane.close()


async def _measure(run: Run, folder: Path, server: Ours) -> Result:
    rounds, lines = (3, 10) if run.quick else (8, 30)
    log = folder / "pod.log"
    async with real(folder) as place, AsyncExitStack() as stack:
        await place.deploy("app", PODS)
        pods = [pod["metadata"]["name"] for pod in await place.pods(PODS)]
        alone = Written(log)
        async with _directly(folder, place, pods, alone):
            await _paced(run, "API server alone", alone, lines, PODS)
        log.write_text("")
        current = ready = Written(log)
        follow = (_events, _websocket)
        followers = [
            await follow[number % 2](stack, server, place, key) for number, key in enumerate(server.keys[:FOLLOWERS])
        ]
        tasks = [asyncio.create_task(_read(each, lambda: current)) for each in followers]
        stack.callback(lambda: [task.cancel() for task in tasks])
        ready.write()
        await ready.all_arrived(PODS * FOLLOWERS)
        pairs, resident = [], []
        for number in range(1, rounds + 1):
            current = without = Written(log, ready.at)
            await _paced(run, f"{number}: {FOLLOWERS} followers", without, lines, PODS * FOLLOWERS)
            async with AsyncExitStack() as stopped:
                for key in server.keys[FOLLOWERS:]:
                    await _stand_still(stopped, server, place, key)
                current = flood = Written(log, ready.at)
                await _flood(flood)
                await _calm(server.server.process.pid)
                current = beside = Written(log, ready.at)
                await _paced(run, f"{number}: beside {STOPPED} that stand still", beside, lines, PODS * FOLLOWERS)
            pairs.append((without, beside))
            resident.append(resident_bytes_of(server.server.process.pid))
    return _result(alone, pairs, [each / 2**20 for each in resident])


async def _paced(run: Run, label: str, written: Written, count: int, each: int) -> None:
    with run.progress(label, count) as progress:
        for number in range(1, count + 1):
            written.write("stored readings of site utrecht in shard two")
            await asyncio.sleep(EVERY_SECONDS)
            progress(number)
        await written.all_arrived(count * each)
    if written.arrived > count * each:
        raise RuntimeError("a line came twice")


async def _flood(written: Written) -> None:
    """More than the sockets of those who do not read can hold."""
    for burst in range(1, BURSTS + 1):
        for _ in range(LINES_OF_BURST):
            written.write("much " * 300)
        await written.all_arrived(burst * LINES_OF_BURST * PODS * FOLLOWERS)


async def _calm(pid: int) -> None:
    """Wait until the server has nothing left to do: who joins reads what was written before. Raises TimeoutError."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            before = cpu_seconds(pid)
            await asyncio.sleep(CALM_SECONDS)
            if cpu_seconds(pid) - before < CALM_SHARE * CALM_SECONDS:
                return


@asynccontextmanager
async def _directly(folder: Path, place: Place, pods: list[str], written: Written) -> AsyncIterator[None]:
    """One connection to the API server for each pod: the least that anybody has to do."""
    cluster = KubernetesCluster("bare", KubernetesApi(folder / "admin.kubeconfig", None))
    await cluster.open()

    async def read(pod: str) -> None:
        async for line in cluster.follow_log(LogQuery(place.namespace, pod, "app", None, 0)):
            written.saw(line.encode(), "API server")

    tasks = [asyncio.create_task(read(pod)) for pod in pods]
    try:
        assert len((await cluster.objects(POD, Query(place.namespace))).items) == PODS
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await cluster.close()


async def _cookie(server: Ours, key: str) -> str:
    """Of a browser that is signed in as the owner of the key."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = f"key={key}&next=/console"
    head = f"POST /console/sign-in HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
    kind = "Content-Type: application/x-www-form-urlencoded\r\n"
    writer.write(f"{head}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    found = re.search(rb"set-cookie: (triptych-devops=[^;]+)", await reader.read(), re.I)
    writer.close()
    if found is None:
        raise RuntimeError("the sign-in was refused")
    return found[1].decode()


def _address(place: Place) -> str:
    return f"/console/live/logs?namespace={place.namespace}&workload=app"


async def _request(server: Ours, place: Place, key: str) -> bytes:
    """For server-sent events."""
    cookie = await _cookie(server, key)
    return f"GET {_address(place)} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nCookie: {cookie}\r\n\r\n".encode()


async def _events(stack: AsyncExitStack, server: Ours, place: Place, key: str) -> Follower:
    request = await _request(server, place, key)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**22)
    stack.callback(writer.close)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head:
        raise RuntimeError(f"no stream: {head[:200]!r}")
    return "events", reader


async def _websocket(stack: AsyncExitStack, server: Ours, place: Place, key: str) -> Follower:
    url, headers = f"ws://127.0.0.1:{server.port}{_address(place)}", {"Cookie": await _cookie(server, key)}
    headers["Origin"] = f"http://127.0.0.1:{server.port}"
    opened = await stack.enter_async_context(
        connect(url, additional_headers=headers, max_size=None, proxy=None, compression=None)
    )
    await opened.send("")
    return "websocket", opened


async def _read(follower: Follower, current: Callable[[], Written]) -> None:
    way, pieces = follower
    async for piece in pieces:
        current().saw(piece if isinstance(piece, bytes) else piece.encode(), way)


async def _stand_still(stack: AsyncExitStack, server: Ours, place: Place, key: str) -> None:
    """Ask for the stream, and never read it."""
    request = await _request(server, place, key)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    stack.callback(sock.close)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    await asyncio.get_running_loop().sock_sendall(sock, request)


def _result(alone: Written, pairs: list[tuple[Written, Written]], resident: list[float]) -> Result:
    without = [delay for each, _ in pairs for delay in each.delays]
    beside = [delay for _, each in pairs for delay in each.delays]
    ways: dict[str, Way] = {"server-sent events": "events", "WebSocket": "websocket"}
    measured = {
        "API server alone": alone.delays,
        f"{FOLLOWERS} followers": without,
        **{f"those over {name}": [one for each, _ in pairs for one in each.by_way[way]] for name, way in ways.items()},
        f"beside {STOPPED} that stand still": beside,
    }
    rows = []
    for name, delays in measured.items():
        shares = [statistics.median(delays), percentile(delays, 0.95), percentile(delays, 0.99)]
        rows.append([name, f"{len(delays):,}", *(f"{1000 * share:.0f}" for share in shares)])
    ratios = [percentile(after.delays, 0.99) / percentile(before.delays, 0.99) for before, after in pairs]
    return Result(
        tables=[
            Table(title="From the write to the arrival", columns=["", "lines", "p50, ms", "p95", "p99"], rows=rows)
        ],
        targets=[
            Target(
                what=f"p99 with {FOLLOWERS} followers of {PODS} pods",
                measured=1000 * percentile(without, 0.99),
                limit=200,
                unit="ms",
            ),
            Target(
                what=f"p99 beside {STOPPED} that stand still, over p99 without them",
                measured=statistics.median(ratios),
                limit=1.25,
            ),
            Target(
                what=f"memory that rounds {WARM + 1} to {len(pairs)} add",
                measured=max(0.0, resident[-1] - resident[WARM - 1]),
                limit=8,
                unit="MiB",
            ),
        ],
        notes=[
            "No line was lost and none came twice: each measurement ends when all of them have arrived.",
            f"Memory after each round: {', '.join(f'{each:.0f}' for each in resident)} MiB.",
        ],
    )


BENCHMARK = Benchmark("streams", "Following logs", ABOUT, run)
