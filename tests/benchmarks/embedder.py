"""Ingestion whose vectors come from a server: what 1, 2 and 4 workers do, and what the server takes for a request."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.collection import read_collection
from tests.benchmarks.elasticsearch import HEAP, PRODUCTION
from tests.benchmarks.embedder_measure import Speed, alone, documents, embedder, worked
from tests.benchmarks.embedder_server import DISTANT_SECONDS
from tests.benchmarks.result import Bars, Result, Table
from tests.services.elasticsearch import ElasticsearchNode

WORKERS = (1, 2, 4)
FULL, QUICK = 800, 60
KINDS = {
    "model": "The model on this machine's cores, in a process of its own",
    "distant": f"A server elsewhere, that answers each request after {1000 * DISTANT_SECONDS:.0f} ms",
}
ABOUT = f"""{FULL} documents of the Cranfield collection go into Elasticsearch, and their vectors come over HTTP
(`KB_EMBEDDER=http`). Workers are processes of their own, catalogue and jobs in SQLite. Time runs from the first
document that is handed in until all are searchable. The embedder is a process, too: once with the project's model
on the cores of this machine, which it shares with the workers and Elasticsearch, so that more workers cannot make
it faster; once as a server elsewhere, which takes its time and costs nothing here, so that the workers are what is
measured. The first row of each table is the embedder, asked for all texts at once by one caller. Latency is a
request's, in the embedder's process."""


def run(run: Run) -> Result:
    """Both embedders, with each number of workers."""
    found: dict[str, list[Speed]] = {}
    wanted = documents(read_collection().abstracts, QUICK if run.quick else FULL)
    with tempfile.TemporaryDirectory(prefix="embedder-") as name, run.progress("measured", 2 * 4) as progress:
        folder = Path(name)
        node, before = ElasticsearchNode(folder / "node", flags=[*HEAP, *PRODUCTION]), dict(os.environ)
        try:
            index = {"KB_INDEX": "elasticsearch", "KB_ELASTICSEARCH_URL": node.ready()}
            for kind in KINDS:
                with embedder(kind, folder / f"{kind}.log") as url:
                    found[kind] = [asyncio.run(alone(url, wanted))]
                    for workers in WORKERS:
                        place = f"{kind}-{workers}"
                        own = {**index, "KB_ELASTICSEARCH_INDEX": place}
                        (folder / place).mkdir()
                        found[kind].append(asyncio.run(worked(folder / place, url, own, wanted, workers)))
                        progress(sum(map(len, found.values())))
        finally:
            node.stop()
            os.environ.clear()
            os.environ.update(before)
    return Result(tables=[_table(KINDS[kind], speeds) for kind, speeds in found.items()], plot=_plot(found))


def _table(title: str, speeds: Sequence[Speed]) -> Table:
    rows = [
        [
            f"{speed.workers} workers" if speed.workers else "the embedder alone",
            f"{speed.documents / speed.seconds:.1f}",
            f"{speed.texts_per_second:.1f}",
            f"{speed.texts_per_second / speeds[0].texts_per_second:.0%}",
            f"{speed.texts / speed.requests:.1f}",
            f"{speed.p50:.0f}",
            f"{speed.p99:.0f}",
        ]
        for speed in speeds
    ]
    columns = ["", "documents/s", "texts/s", "of the embedder alone", "texts a request", "p50, ms", "p99, ms"]
    return Table(title=title, columns=columns, rows=rows)


def _plot(found: dict[str, list[Speed]]) -> Bars:
    series = {
        name: [speed.documents / speed.seconds for speed in found[kind][1:]]
        for kind, name in (("model", "the model on this machine"), ("distant", "a server elsewhere"))
    }
    groups = [f"{workers} workers" for workers in WORKERS]
    return Bars(title="Documents a second, vectors over HTTP", axis="documents/s", groups=groups, series=series)


BENCHMARK = Benchmark("embedder", "Ingestion with a remote embedder", ABOUT, run)
