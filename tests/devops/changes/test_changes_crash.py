"""A process that dies while it executes a change: done once, or not at all, or known not to be known."""

import asyncio
import random
import shutil
import sys
from pathlib import Path

import pytest

from common.errors import AppError, Denied
from common.security.principal import Principal
from devops.adapters.simulated.target import SimulatedTarget
from devops.changes.change import Change, Target
from devops.changes.manifests import mark_of
from devops.changes.operations import Apply, Delete, Drain, Operation, Scale
from devops.kinds import CONFIG_MAP, DEPLOYMENT, NODE, POD, Kind
from devops.ports import Manifest, Query
from tests.support.changing import PORTAL, PRODUCTION, Bench, bench, set_clock
from tests.support.crashing_change import crash_at

ROOT = Path(__file__).parents[3]
KILLS = 10
NODE_NAME = "fern-ams-1-store-1"


async def approved(desk: Bench, operation: Operation, name: str, kind: Kind) -> Change:
    """A change that waits for its execution."""
    change = await desk.plan(desk.person("olga", "operator"), operation, name, kind)
    for approver in ("amir", "ben"):
        if change.state == "awaiting_approval":
            change = await desk.approve(change, desk.person(approver, "approver"))
    assert change.state == "approved"
    return change


async def recovered(desk: Bench, change: Change) -> Change:
    """What another process makes of it once the lease has run out."""
    change = await desk.again(change)
    set_clock(desk.built.changes.clock, (change.lease_until or 0) + 1)
    await desk.built.sweeper.sweep()
    change = await desk.again(change)
    if change.state == "approved":  # nobody had claimed it
        change = await desk.execute(change)
    return change


async def prepared(folder: Path, operation: Operation, name: str, kind: Kind) -> tuple[Change, int]:
    async with bench(folder) as desk:
        return await approved(desk, operation, name, kind), await desk.generation()


CASES: dict[str, tuple[Operation, str, Kind]] = {
    "scale": (Scale(replicas=0), PORTAL, DEPLOYMENT),
    "delete": (Delete(), PORTAL, DEPLOYMENT),
    "drain": (Drain(), NODE_NAME, NODE),
}


@pytest.mark.parametrize(
    "case", ["scale", pytest.param("delete", marks=pytest.mark.slow), pytest.param("drain", marks=pytest.mark.slow)]
)
def test_a_crash_at_every_boundary_executes_at_most_once(tmp_path: Path, case: str) -> None:
    template = tmp_path / "template"
    change, generation = asyncio.run(prepared(template, *CASES[case]))
    ends: list[str] = []
    for tick in range(1, 200):
        folder = tmp_path / str(tick)
        shutil.copytree(template, folder)
        crashed = crash_at(folder, tick)
        sent = (folder / "sent").read_text().split() if (folder / "sent").exists() else []
        ends.append(asyncio.run(check(folder, change, generation, case, sent)))
        shutil.rmtree(folder)
        if not crashed:
            break
    else:
        pytest.fail("it never came to the end")
    assert len(ends) > 12, "there are more boundaries than that"
    assert ends[0] == ends[-1] == "succeeded"
    assert "failed" in ends, "a crash after the claim and before the write is found to have changed nothing"
    assert set(ends) <= {"succeeded", "failed", "unknown"}


@pytest.mark.parametrize(("lost", "seconds"), [("cluster", 600), ("right", 3600)])
async def test_an_execution_that_nobody_can_look_into_ends(tmp_path: Path, lost: str, seconds: int) -> None:
    async with bench(tmp_path) as desk:
        change, clock = await approved(desk, *CASES["scale"]), desk.built.changes.clock
        assert await desk.built.store.claim(change, "dead", clock.now() + 1, clock.now())
        targets = desk.built.changes.targets
        if lost == "cluster":
            targets.clear()
        else:
            targets[desk.cluster.name] = Unreadable(desk.cluster)
        assert (await recovered(desk, change)).state == "executing", "it may come back, or another server has it"
        set_clock(clock, clock.now() + seconds)
        ended = await recovered(desk, change)
        assert ended.state == "unknown" and "could not be read" in (ended.outcome or "")


class Unreadable(SimulatedTarget):
    """A cluster that lets nobody read any more."""

    async def read(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        raise Denied("You may not read that.", "Ask for the right.")


async def check(folder: Path, change: Change, generation: int, case: str, sent: list[str]) -> str:
    """Recover, and compare what is said with what is there."""
    async with bench(folder) as desk:
        ended = await recovered(desk, change)
        if case == "scale":
            changed = await desk.generation() - generation
            assert changed == (1 if ended.state == "succeeded" else 0), (ended, sent)
        elif case == "delete":
            try:
                await desk.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL)
                is_gone = False
            except AppError:
                is_gone = True
            assert is_gone == (ended.state == "succeeded"), (ended, sent)
        else:
            await check_node(desk, ended)
        await desk.built.executor.execute(ended)
        assert (await desk.again(change)).state == ended.state
        return ended.state


async def check_node(desk: Bench, ended: Change) -> None:
    node = await desk.cluster.get(NODE, None, NODE_NAME)
    pods = (await desk.cluster.objects(POD, Query(fields={"spec.nodeName": NODE_NAME}))).items
    if ended.state == "succeeded":
        assert node["spec"]["unschedulable"] and not pods
    elif ended.state == "failed":
        assert "unschedulable" not in node["spec"] and pods
    else:
        assert node["spec"]["unschedulable"] and f"{len(pods)} pods are left" in (ended.outcome or "")


@pytest.mark.slow
async def test_ten_kills_execute_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(20261123)  # noqa: S311 - not a secret
    names: dict[str, str] = {}
    for kill in range(KILLS):
        async with bench(tmp_path, environments={"production": "development"}) as desk:
            olga = desk.person("olga", "operator")
            for number in range(8):
                name = f"note-{kill}-{number}"
                change = await confirmed(desk, olga, name)
                names[change.id] = name
        await killed(tmp_path, chance.random() * 1.2)
    async with bench(tmp_path) as desk:
        ends = [await recovered(desk, await desk.built.store.get(each, "local")) for each in names]
        sent = (tmp_path / "sent").read_text().split()
        assert len(sent) == len(set(sent)), "something was sent twice"
        for change in ends:
            live = await find(desk, names[change.id])
            assert change.state in ("succeeded", "failed"), change.outcome
            assert (mark_of(live) == change.id) == (change.state == "succeeded"), change.outcome
    assert sum(change.state == "succeeded" for change in ends) >= len(ends) - KILLS * 8 // 2


async def confirmed(desk: Bench, who: Principal, name: str) -> Change:
    """A new config map, for whose creation its requester has said yes twice."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": PRODUCTION}}
    cluster = desk.cluster.name
    place = Target(cluster, "ConfigMap", PRODUCTION, name)
    changes = desk.built.changes
    planned = await changes.planner.plan(who, changes.targets[cluster], place, Apply(manifest=manifest))
    return await changes.approvals.confirm(planned, planned.draft.digest, who, True)


async def find(desk: Bench, name: str) -> Manifest | None:
    try:
        return await desk.cluster.get(CONFIG_MAP, PRODUCTION, name)
    except AppError:
        return None


async def killed(folder: Path, delay: float) -> None:
    """Let a process execute for a while, and kill it."""
    command = [sys.executable, "-m", "tests.support.crashing_change", str(folder)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()) == b"ready\n"
    await asyncio.sleep(delay)
    process.kill()
    await process.wait()
