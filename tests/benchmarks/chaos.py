"""Nothing accepted is lost, half visible or readable after it was revoked, however often processes are killed."""

import asyncio
import tempfile
from pathlib import Path

from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.result import Result, Table, Target
from tests.support.chaos import run_chaos

ABOUT = """300 documents and updates, a fifth of the documents revoked and a fifth deleted on the way. The process that
accepts and the process that works are killed (SIGKILL) at random moments and started again; a third one searches and
fetches all the time. A problem is: an accepted version that is not there in the end with its text, chunks that are
missing or too many, a text or a search result that mixes two versions, an older version after a newer one, a document
that is found or read after the call that revoked or deleted it had returned. Missed: searches that did not find a
document while its new version took the place of the old one, between the look into the index and that into the
catalogue."""
COUNT, QUICK_COUNT, SEED = 300, 20, 7


def run(run: Run) -> Result:
    """Once; a run of another seed kills at other moments."""
    with tempfile.TemporaryDirectory() as folder:
        story = asyncio.run(run_chaos(Path(folder), QUICK_COUNT if run.quick else COUNT, SEED))
    rows = [[what, f"{count:,}"] for what, count in sorted(story.counts.items())]
    return Result(
        tables=[Table(title="What happened", columns=["", "count"], rows=rows)],
        targets=[Target(what="problems", measured=float(len(story.problems)), limit=0.0)],
        notes=story.problems[:20],
    )


BENCHMARK = Benchmark("chaos", "Killed at random", ABOUT, run)
