"""How long a process takes from its start until it is of use."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from infra.demo.servers import is_ready, start_server, stop_server
from infra.seed.load import TENANT
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.requests import structured, tool_call
from tests.benchmarks.result import Bars, Result, Table, Target

ABOUT = """Seconds from the start of the process. `triptych serve knowledge-base`, embedded, on an empty folder and
with the demo company's documents: until /health/ready says so, and until the first search over MCP (sent at that
moment) is answered, for which the embedding model has to be loaded. `triptych ingest` of one Markdown file into an
empty folder: until its worker has taken the job, and until the document is searchable. Files are in the page cache,
as after any first start."""

PATIENCE_SECONDS = 60.0
EMPTY, COMPANY, WORKER = "server, empty", "server, demo company", "ingest worker"
Times = list[tuple[float, float]]
"""Of each run: ready, and useful."""


def run(run: Run) -> Result:
    """All three, several times."""
    runs = 1 if run.quick else 5
    with tempfile.TemporaryDirectory() as name, run.progress("start", 3 * runs) as progress:
        folder = Path(name)
        seeded = folder / "company"
        _triptych("seed", "--data-dir", str(seeded)).check_returncode()
        times: dict[str, Times] = {EMPTY: [], COMPANY: [], WORKER: []}
        for number in range(1, runs + 1):
            times[EMPTY].append(_serve(folder / f"empty-{number}"))
            times[COMPANY].append(_serve(Path(shutil.copytree(seeded, folder / f"company-{number}"))))
            times[WORKER].append(_ingest(folder / f"ingest-{number}"))
            progress(3 * number)
    return Result(tables=[_table(times)], targets=_targets(times), plot=_plot(times))


def _serve(data: Path) -> tuple[float, float]:
    settings = CommonSettings(data_dir=data)
    _, key = ApiKeyStore(api_keys_path(settings)).create("ben", TENANT, ["user"], [])
    started = time.monotonic()
    server = start_server("knowledge-base", 0, data)
    try:
        _until(lambda: is_ready(server.url), server.process, started)
        ready = time.monotonic() - started
        _search(server.url, key)
        return ready, time.monotonic() - started
    finally:
        stop_server(server)


def _search(url: str, key: str) -> None:
    headers, body = tool_call("modern", "search", {"query": "How long is the warranty?"})
    request = urllib.request.Request(f"{url}/mcp", body, {**headers, "Authorization": f"Bearer {key}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own loopback URL
        structured(answer.read())


def _ingest(folder: Path) -> tuple[float, float]:
    folder.mkdir()
    note = folder / "note.md"
    note.write_text("# Tea\n\nOolong is brewed at 90 degrees.")
    data = folder / "data"
    started = time.monotonic()
    process = subprocess.Popen(_command("ingest", str(note), "--data-dir", str(data)), stderr=subprocess.DEVNULL)
    try:
        taken = _until(lambda: _state(data) in ("running", "done"), process, started)
        searchable = _until(lambda: _state(data) == "done", process, started)
        return taken, searchable
    finally:
        process.wait(PATIENCE_SECONDS)


def _state(data: Path) -> str:
    """State of the only job."""
    database = data / "knowledge-base" / "catalog.db"
    with contextlib.suppress(sqlite3.OperationalError):  # not there yet
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT state FROM jobs").fetchone()
            return str(row[0]) if row else ""
    return ""


def _until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", started: float) -> float:
    """Seconds from the start until it held."""
    while not condition():
        ended = process.poll() not in (None, 0)
        if ended or time.monotonic() - started > PATIENCE_SECONDS:
            raise RuntimeError(f"{process.args!r} was of no use within {time.monotonic() - started:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - started


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "infra.cli", *arguments]


def _triptych(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(_command(*arguments), capture_output=True, env=os.environ)


def _table(times: dict[str, Times]) -> Table:
    columns = ["process", "ready, median", "worst", "first search or document, median", "worst"]
    rows = [
        [name, *_figures([one[0] for one in found]), *_figures([one[1] for one in found])]
        for name, found in times.items()
    ]
    return Table(title="Seconds from the start of the process", columns=columns, rows=rows)


def _figures(seconds: Sequence[float]) -> tuple[str, str]:
    return f"{median(seconds):.2f}", f"{max(seconds):.2f}"


def _targets(times: dict[str, Times]) -> list[Target]:
    worst = {name: max(ready for ready, _ in found) for name, found in times.items()}
    limits = {EMPTY: 4.0, COMPANY: 4.0, WORKER: 2.0}
    return [Target(what=f"{name}, ready, worst", measured=worst[name], limit=limits[name], unit="s") for name in times]


def _plot(times: dict[str, Times]) -> Bars:
    ready = [round(median(one[0] for one in found), 2) for found in times.values()]
    useful = [round(median(one[1] for one in found), 2) for found in times.values()]
    series = {"ready": ready, "first search answered, or first document searchable": useful}
    return Bars(title="Time from the start of the process", axis="s", groups=list(times), series=series)


BENCHMARK = Benchmark("start", "Start", ABOUT, run)
