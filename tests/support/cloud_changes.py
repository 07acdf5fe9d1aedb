"""The change engine over an AWS account of moto's server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.security.principal import Principal
from devops.changes.change import Change
from devops.changes.cloud_operations import StartInstance, StopInstance, UpdateService
from devops.changes.operations import Operation
from devops.kinds import EC2_INSTANCE, ECS_SERVICE
from tests.support.changing import Bench, bench
from tests.support.cloud import Account


@dataclass
class CloudDesk:
    """The engine, and the account that it changes."""

    bench: Bench
    account: Account

    async def plan(self, who: Principal, instance: str, operation: Operation | None = None) -> Change:
        """To stop the instance, unless said otherwise; in production another person approves that."""
        wanted = operation or StopInstance()
        return await self.bench.built.changes.request_cloud(who, None, EC2_INSTANCE, None, instance, wanted)

    async def update(self, who: Principal, service: str = "web", **what: Any) -> Change:
        """To update the service."""
        operation = UpdateService(**what)
        return await self.bench.built.changes.request_cloud(who, None, ECS_SERVICE, "shop", service, operation)

    async def carried_out(self, change: Change) -> Change:
        """Let everybody say yes whose yes it needs, and execute it."""
        if change.state == "awaiting_confirmation":
            requester = change.draft.requester.principal
            change = await self.bench.built.changes.approvals.confirm(change, change.draft.digest, requester, True)
        if change.state == "awaiting_approval":
            change = await self.bench.approve(change, self.bench.person("amir", "approver"))
        return await self.bench.execute(change)


START = StartInstance()


@asynccontextmanager
async def cloud_desk(folder: Path, account: Account, **settings: Any) -> AsyncIterator[CloudDesk]:
    """The use cases without server; `settings` are those of DEVOPS_*."""
    async with bench(folder, **{**account.settings, **settings}) as opened:
        yield CloudDesk(opened, account)
