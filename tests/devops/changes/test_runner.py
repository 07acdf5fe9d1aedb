"""What waits for its execution has its turn, whatever waits before it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.errors import Unavailable
from devops.adapters.simulated.target import SimulatedTarget
from devops.changes.change import Change, HandFreeze, Target
from devops.changes.operations import Scale
from devops.changes.runner import MAX_AT_ONCE
from devops.kinds import DEPLOYMENT, Kind
from devops.ports import Manifest, Query
from tests.support.breaking_glass import WHY, YES
from tests.support.changing import PORTAL, PRODUCTION, Bench, bench
from tests.support.clusters import until

FAR = "far-away"


class Silent(SimulatedTarget):
    """A cluster that takes requests, and answers none until it is let go."""

    def __init__(self, desk: Bench) -> None:
        super().__init__(desk.cluster)
        self.is_silent, self.let_go = False, asyncio.Event()

    async def read(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        if self.is_silent:
            await self.let_go.wait()
            raise Unavailable("The cluster does not answer.")
        return await super().read(kind, namespace, name)


@asynccontextmanager
async def running(desk: Bench) -> AsyncIterator[None]:
    task = asyncio.create_task(desk.built.changes.runner.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def in_development(desk: Bench) -> Change:
    """A change that policy allows at once."""
    [row] = (await desk.cluster.table(DEPLOYMENT, Query("load-test"))).items
    return await desk.plan(desk.person("olga", "operator"), Scale(replicas=9), row.name, namespace="load-test")


async def executed(desk: Bench, change: Change) -> bool:
    async def ended() -> str | None:
        state = (await desk.again(change)).state
        return None if state in ("approved", "executing") else state

    return await until(ended) == "succeeded"


async def test_what_a_freeze_holds_back_holds_nothing_else_up(tmp_path: Path) -> None:
    async with bench(tmp_path, environments={"load-*": "development"}, break_glass="on") as desk:
        olga, amir = desk.person("olga", "operator", "break-glass"), desk.person("amir", "approver", "break-glass")
        waiting = [await desk.approve(await desk.plan(olga), amir) for _ in range(MAX_AT_ONCE)]
        now, breaking = desk.built.changes.clock.now(), desk.built.changes.glass
        await desk.built.store.freeze(HandFreeze("frz-1", PRODUCTION, now, now + 3600, "the sale", "root"))
        async with running(desk):
            assert await executed(desk, await in_development(desk))
            urgent = await desk.plan(olga, Scale(replicas=1))
            urgent = await breaking.ask(urgent, urgent.draft.digest, WHY, olga, now)
            assert urgent.glass is not None
            urgent = await breaking.agree(urgent, urgent.glass.id, urgent.draft.digest, YES, amir, now)
            assert await executed(desk, urgent) and await desk.replicas() == 1
        assert {(await desk.again(each)).state for each in waiting} == {"approved"}


async def test_a_cluster_that_does_not_answer_holds_no_other_up(tmp_path: Path) -> None:
    async with bench(tmp_path, environments={"load-*": "development"}) as desk:
        changes, silent = desk.built.changes, Silent(desk)
        changes.targets[FAR] = silent
        olga, amir = desk.person("olga", "operator"), desk.person("amir", "approver")
        at = Target(FAR, "Deployment", PRODUCTION, PORTAL)
        for _ in range(MAX_AT_ONCE + 1):
            await desk.approve(await changes.planner.plan(olga, silent, at, Scale(replicas=0)), amir)
        silent.is_silent = True
        async with running(desk):
            assert await executed(desk, await in_development(desk))
            silent.let_go.set()
