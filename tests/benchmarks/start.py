"""How long a process takes from its start until it is of use."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.result import Bars, Result, Table, Target
from tests.benchmarks.start_measure import Times, command, time_ingest, time_server, time_worker

ABOUT = """Seconds from the start of a process, embedded profile. `triptych serve knowledge-base`, on an empty folder
and with the demo company's documents: until /health/ready says so, and until a first search over MCP (sent at that
moment) is answered, for which the embedding model has to be loaded. `triptych worker knowledge-base`: until it says
that it is ready, and until a document that waited for it is searchable. `triptych ingest` of one Markdown file into
an empty folder: until it works on the document, and until that is searchable. Files are in the page cache, as after
any first start."""

EMPTY, COMPANY, WORKER, INGEST = "server, empty", "server, demo company", "worker", "ingest"
LIMITS = {EMPTY: 4.0, COMPANY: 4.0, WORKER: 2.0, INGEST: 2.0}
READY, USEFUL = "ready", "first search answered, or first document searchable"


def run(run: Run) -> Result:
    """Each in turn, several times."""
    runs = 1 if run.quick else 5
    times: dict[str, list[Times]] = {name: [] for name in LIMITS}
    with tempfile.TemporaryDirectory() as name, run.progress("start", runs * len(LIMITS)) as progress:
        folder = Path(name)
        seeded = folder / "company"
        subprocess.run(command("seed", "--data-dir", str(seeded)), capture_output=True, check=True)
        for number in range(1, runs + 1):
            times[EMPTY].append(time_server(folder / f"empty-{number}"))
            times[COMPANY].append(time_server(Path(shutil.copytree(seeded, folder / f"company-{number}"))))
            times[WORKER].append(time_worker(folder / f"worker-{number}"))
            times[INGEST].append(time_ingest(folder / f"ingest-{number}"))
            progress(number * len(LIMITS))
    return Result(tables=[_table(times)], targets=_targets(times), plot=_plot(times))


def _table(times: Mapping[str, Sequence[Times]]) -> Table:
    rows = [
        [name, *_figures([ready for ready, _ in found]), *_figures([useful for _, useful in found])]
        for name, found in times.items()
    ]
    columns = ["process", "ready, median", "worst", "useful, median", "worst"]
    return Table(title="Seconds from the start of the process", columns=columns, rows=rows)


def _figures(seconds: Sequence[float]) -> tuple[str, str]:
    return f"{median(seconds):.2f}", f"{max(seconds):.2f}"


def _targets(times: Mapping[str, Sequence[Times]]) -> list[Target]:
    worst = {name: max(ready for ready, _ in found) for name, found in times.items()}
    return [
        Target(what=f"{name} ready, worst of {len(times[name])}", measured=worst[name], limit=limit, unit="s")
        for name, limit in LIMITS.items()
    ]


def _plot(times: Mapping[str, Sequence[Times]]) -> Bars:
    ready = [round(median(one[0] for one in found), 2) for found in times.values()]
    useful = [round(median(one[1] for one in found), 2) for found in times.values()]
    series = {READY: ready, USEFUL: useful}
    return Bars(title="Time from the start of the process, median", axis="s", groups=list(times), series=series)


BENCHMARK = Benchmark("start", "Start", ABOUT, run)
