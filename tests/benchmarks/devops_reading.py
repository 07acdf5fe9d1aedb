"""Reading a real control plane: all pods of a large cluster, and single pods under load."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.devops_cluster import CALLERS, NAMESPACE, PAGE, Cost, Ours, fill, list_raw, ours
from tests.benchmarks.load import Load, drive
from tests.benchmarks.requests import raw_request, structured
from tests.benchmarks.result import Bars, Result, Table, Target
from tests.services import kubernetes

ABOUT = f"""A Kubernetes 1.37 control plane (etcd, API server, controllers, scheduler; kwok for the kubelets)
with 5,000 pods of about 6 kB, on the same machine as everything else. **Table pages** are the API server's
own server-side tables, {PAGE} pods a page, read by the official asyncio client's connections and parsed: the
least that any client has to do. **list_pods** is our tool over HTTP with sign-in, policy and audit, {PAGE}
pods a page, from the first call to the last answer parsed. They take turns. get_pod, which reads the pod and
its ReplicaSet, is asked by 32 callers with a key each: with a pause of half a second between answer and next
question, as people and their models ask, and without any pause, which shows how much one process can do."""

PAUSE = 0.5


def run(run: Run) -> Result:
    """Start, fill, measure, stop."""
    count, rounds, seconds = (1000, 2, 3.0) if run.quick else (5000, 7, 15.0)
    plane = kubernetes.start()
    folder = Path(next(plane))
    try:
        with run.progress("making pods", count) as progress:
            asyncio.run(fill(folder, count, progress))
        with tempfile.TemporaryDirectory() as data, ours(folder, Path(data)) as server:
            return _measure(run, folder, server, rounds, seconds)
    finally:
        plane.close()


def _measure(run: Run, folder: Path, server: Ours, rounds: int, seconds: float) -> Result:
    raw, listed = [list_raw(folder)], [server.list_all()]
    after_one = server.peak_mib()
    with run.progress("listing", rounds) as progress:
        for number in range(1, rounds + 1):
            raw.append(list_raw(folder))
            listed.append(server.list_all())
            progress(number)
    grown = server.peak_mib() - after_one
    # The first one warmed up connections.
    raw, listed = raw[1:], listed[1:]
    requests = _requests(server)
    paced = drive(server.port, requests, seconds, PAUSE)
    before = server.cpu
    busy = drive(server.port, requests, seconds / 3)
    cpu = (server.cpu - before) / busy.calls * 1000
    _check(paced, busy)
    ratio = median(ours.seconds / yardstick.seconds for ours, yardstick in zip(listed, raw, strict=True))
    size = listed[0].size / listed[0].pods
    return Result(
        tables=[_lists(raw, listed, server.peak_mib()), _loads(paced, busy)],
        targets=[
            Target(what="list_pods, all pages, over Table pages", measured=ratio, limit=1.3),
            Target(what="memory that more listings add", measured=max(0.0, grown), limit=16, unit="MiB"),
            Target(what="answer", measured=size, limit=400, unit="bytes a pod"),
            Target(
                what=f"get_pod p50, {CALLERS} callers with pauses",
                measured=paced.milliseconds(0.5),
                limit=20,
                unit="ms",
            ),
        ],
        notes=[
            f"Without pauses {CALLERS} callers wait for each other: a process does {busy.per_second:.0f} calls a "
            f"second ({cpu:.1f} ms of its processor time each), so each waits {CALLERS} times as long as one call "
            "takes. More processes take more.",
        ],
        plot=Bars(
            title=f"Listing {raw[0].pods:,} pods, median",
            axis="s",
            groups=["Table pages", "list_pods"],
            series={"seconds": [round(median(one.seconds for one in costs), 2) for costs in (raw, listed)]},
        ),
    )


def _requests(server: Ours) -> list[bytes]:
    arguments = [{"namespace": NAMESPACE, "name": name} for name in server.live_pods()]
    return [
        raw_request("modern", "get_pod", one, server.port, key) for one, key in zip(arguments, server.keys, strict=True)
    ]


def _check(*loads: Load) -> None:
    for load in loads:
        if structured(load.answer)["status"] != "Running":
            raise RuntimeError(f"not the answer of the tool: {load.answer[:500]!r}")


def _lists(raw: Sequence[Cost], listed: Sequence[Cost], peak: float) -> Table:
    rows = [
        [
            name,
            f"{median(cost.seconds for cost in costs):.2f}",
            f"{max(cost.seconds for cost in costs):.2f}",
            f"{median(cost.cpu for cost in costs):.2f}",
            f"{costs[0].size / 2**20:.1f}",
            memory,
        ]
        for name, costs, memory in (("Table pages", raw, ""), ("list_pods", listed, f"{peak:.0f}"))
    ]
    columns = ["", "s, median", "worst", "CPU s of the reader", "MiB read or answered", "peak memory, MiB"]
    return Table(title=f"All {raw[0].pods:,} pods", columns=columns, rows=rows)


def _loads(paced: Load, busy: Load) -> Table:
    rows = [
        [name, f"{load.per_second:.0f}", *(f"{load.milliseconds(share):.1f}" for share in (0.5, 0.95, 0.99))]
        for name, load in ((f"pause {PAUSE:g} s", paced), ("no pause", busy))
    ]
    columns = ["callers", "calls a second", "p50, ms", "p95", "p99"]
    return Table(title=f"get_pod, {CALLERS} callers", columns=columns, rows=rows)


BENCHMARK = Benchmark("devops_reading", "Reading a large cluster", ABOUT, run)
