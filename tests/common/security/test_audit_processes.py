"""Several processes on one log, and one that is killed in the middle of its work."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.support.audit import Place, intent, outcome

CALLERS = 8
ROOT = Path(__file__).parents[3]


async def work(folder: Path, calls: int) -> None:
    """What the child does: 8 callers, and a line on stdout for each record that is durable."""

    async def caller(name: int) -> None:
        for number in range(calls):
            request_id = f"{os.getpid()}-{name}-{number}"
            await log.write(intent(request_id))
            sys.stdout.write(f"{request_id}\n")
            sys.stdout.flush()
            await log.write(outcome(request_id))

    async with Place(folder).log("child", checkpoint_seconds=0.02) as log:
        await asyncio.gather(*(caller(name) for name in range(CALLERS)))


def start(folder: Path, calls: int) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, str(folder), str(calls)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def stored(place: Place) -> set[str]:
    return {request_id for (request_id,) in place.sql("SELECT request_id FROM audit_records WHERE kind = 'intent'")}


async def test_a_killed_process_loses_nothing_that_it_was_promised(tmp_path: Path) -> None:
    place = Place(tmp_path)
    child = start(tmp_path, 100_000)
    assert child.stdout
    with child.stdout:
        promised = [child.stdout.readline() for _ in range(300)]
        child.kill()
        promised += child.stdout.readlines()
    assert child.wait() == -9
    # The last line may have been cut by the kill.
    assert {line.strip() for line in promised if line.endswith("\n")} <= stored(place)
    report = await place.verify()
    assert report.problems == []
    assert report.checkpoints > 0
    assert report.unfinished <= CALLERS


async def test_two_processes_write_to_one_log_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    children = [start(tmp_path, 20) for _ in range(2)]
    promised = {line.strip() for child in children for line in child.communicate(timeout=120)[0].splitlines()}
    assert [child.returncode for child in children] == [0, 0]
    assert stored(place) == promised
    report = await place.verify()
    assert report.problems == []
    assert (report.records, report.writers, report.unfinished) == (2 * 2 * CALLERS * 20, 2, 0)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
