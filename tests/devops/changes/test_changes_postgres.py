"""What is kept of changes, in Postgres: two processes, break-glass, a freeze, the outbox and a rollout."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from common.errors import Conflict
from common.runtime import build_runtime
from common.settings import CommonSettings
from devops.adapters.simulated.cluster import SimulatedCluster
from devops.bootstrap import build_devops, opened
from devops.bootstrap_changes import CHANGE_POLICY, build_changes, opened_changes
from devops.changes.operations import SetImage
from devops.server import POLICIES
from devops.settings import DevopsSettings
from tests.support.breaking_glass import WHY, YES
from tests.support.changing import CALM, PORTAL, Bench
from tests.support.notified import SECRET

GOOD = "registry.fernhill.example/web-portal:2026.2.1"


@asynccontextmanager
async def desk_at(folder: Path, database: str) -> AsyncIterator[Bench]:
    """A process of its own, with a queue of webhooks that nobody empties."""
    settings = CommonSettings(data_dir=folder, database_url=SecretStr(database))
    runtime = build_runtime("devops", settings, [*POLICIES, CHANGE_POLICY])
    told = {"notify_webhook_url": "https://hooks.example/x", "notify_webhook_secret": SecretStr(SECRET)}
    own = DevopsSettings(mode="read-write", break_glass="on", **told)  # type: ignore[arg-type]
    devops = build_devops(settings, own, runtime.key)
    built = build_changes(runtime, devops, CALM)
    async with runtime.opened(), opened(devops), opened_changes(built, work=False):
        [cluster] = devops.backends
        assert isinstance(cluster, SimulatedCluster)
        yield Bench(runtime, cluster, built)


async def test_two_processes_share_everything(tmp_path: Path, postgres_database: str) -> None:
    async with desk_at(tmp_path, postgres_database) as desk, desk_at(tmp_path, postgres_database) as other:
        keys = desk.runtime.credentials.keys
        olga, amir, root = [
            (await keys.create(name, "local", roles, ["engineering"]))[0].principal
            for name, roles in (("olga", ["operator", "break-glass"]), ("amir", ["break-glass"]), ("root", ["admin"]))
        ]
        now = desk.built.changes.clock.now
        freeze = await other.built.changes.freeze(root, "production", now() + 3600, "the sale")
        change = await desk.plan(olga, SetImage(container=PORTAL, image=GOOD))
        digest = change.draft.digest
        asked = await asyncio.gather(
            *(each.built.changes.glass.ask(change, digest, WHY, olga, now()) for each in (desk, other)),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in asked) == ["Change", "Conflict"]
        change = await other.again(change)
        assert change.glass is not None
        agreed = await asyncio.gather(
            *(
                each.built.changes.glass.agree(change, change.glass.id, digest, YES, amir, now())
                for each in (desk, other)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, Conflict) for each in agreed) == 1
        change = await other.execute(await other.again(change))
        assert change.state == "succeeded", change.outcome
        await asyncio.gather(desk.built.watcher.look(), other.built.watcher.look())
        rollout = await desk.built.changes.rollouts.of(change.id)
        assert rollout is not None and rollout.state == "complete"
        assert (await desk.built.changes.lift(root, freeze.id)).id == freeze.id
        [(_, glass)], _ = await desk.built.changes.glasses(amir, 10)
        assert glass.second is not None and glass.second.subject == "amir"
        taken = await asyncio.gather(*(each.built.courier._outbox.take("webhook", 100) for each in (desk, other)))
        notices = [notice for part in taken for notice in part]
        assert len(notices) == len({notice.id for notice in notices}) == 6
        assert [notice.kind for notice in sorted(notices, key=lambda notice: notice.at)] == [
            "freeze.set",
            "change.waiting",
            "break_glass.asked",
            "break_glass.opened",
            "change.executed",
            "freeze.lifted",
        ]
