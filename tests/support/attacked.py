"""What is attacked: a workload of a cluster or a service of an AWS account, by approval or by break-glass.

Both run 4 replicas. An attack is written once, and tried in each of these ways.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pytest

from common.security.principal import Principal
from devops.adapters import aws_target
from devops.adapters.simulated import state
from devops.changes import approval, glass
from devops.changes.change import Change
from devops.changes.cloud_operations import UpdateService
from devops.changes.operations import Scale
from devops.kinds import DEPLOYMENT, ECS_SERVICE
from tests.support.breaking_glass import FREEZE, WHY, YES
from tests.support.changing import PORTAL, PRODUCTION, Bench, bench
from tests.support.cloud import Account

PLACES = ("cluster", "account")
WAYS = (
    "cluster",
    "account-glass",
    # Each place and each yes is tried in every run; all of them together in the slow one.
    pytest.param("account", marks=pytest.mark.slow),
    pytest.param("cluster-glass", marks=pytest.mark.slow),
)
Mutation: TypeAlias = tuple[Any, str, Any]
"""Where a check is, its name, and what stands in for it."""


def always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


@dataclass
class Desk:
    """The engine and people; `glass` says which yes counts."""

    bench: Bench
    glass: bool
    count: ClassVar[str]
    """Where a stored plan has its number of replicas."""
    main: ClassVar[str]
    other: ClassVar[str]
    precondition: ClassVar[Mutation]

    @property
    def role(self) -> str:
        """Whose yes counts."""
        return "break-glass" if self.glass else "approver"

    @property
    def second_person(self) -> Mutation:
        """Without it only the same key is the same person."""
        return (glass if self.glass else approval), "is_same_person", lambda one, other: one == other

    def requester(self, name: str = "olga") -> Principal:
        return self.bench.person(name, "operator", "approver", "break-glass")

    def second(self, name: str = "amir", tenant: str = "local") -> Principal:
        return self.bench.person(name, self.role, tenant=tenant)

    async def plan(self, who: Principal, replicas: int = 0) -> Change:
        """A change that somebody else has to say yes to."""
        change = await self.request(who, replicas)
        assert change.state == "awaiting_approval"
        return change

    async def asked(self, change: Change) -> Change:
        """The change, with the question of its requester."""
        now = self.bench.built.changes.clock.wall()
        requester = change.draft.requester.principal
        return await self.bench.built.changes.glass.ask(change, change.draft.digest, WHY, requester, now)

    async def yes(
        self, change: Change, who: Principal, digest: str | None = None, signed_in_at: float | None = None
    ) -> Change:
        """What another person says to it, signed in just now."""
        named = change.draft.digest if digest is None else digest
        at = self.bench.built.changes.clock.wall() if signed_in_at is None else signed_in_at
        if not self.glass:
            return await self.bench.built.changes.approvals.approve(change, named, who, at)
        # It is asked once. What has ended or was rewritten since is taken as the attacker has it.
        fresh = await self.bench.again(change)
        waits = fresh.glass is not None and fresh.state == "awaiting_approval"
        question = fresh if waits else await self.asked(change)
        assert question.glass is not None
        breaking = self.bench.built.changes.glass
        return await breaking.agree(question, question.glass.id, named, YES, who, at)

    async def agreed(self, replicas: int = 0) -> Change:
        """A change with everybody's yes, which nobody has executed."""
        change = await self.yes(await self.plan(self.requester(), replicas), self.second())
        assert change.state == "approved"
        return change

    def counted(self) -> list[str]:
        """What is sent from now on, dry runs not."""
        sent: list[str] = []
        for target in self.bench.built.changes.targets.values():
            self._count(target, sent)
        return sent

    @staticmethod
    def _count(target: Any, sent: list[str]) -> None:
        replace = target.replace

        async def counting(item: Any, dry_run: bool) -> Any:
            if not dry_run:
                sent.append(item["metadata"]["name"])
            return await replace(item, dry_run)

        target.replace = counting

    async def request(self, who: Principal, replicas: int) -> Change:
        """Ask for another number of replicas."""
        raise NotImplementedError

    async def replicas(self, name: str = "") -> int:
        raise NotImplementedError

    async def meddle(self, replicas: int) -> None:
        """Somebody else changes it, without this server."""
        raise NotImplementedError


@dataclass
class ClusterDesk(Desk):
    """The web portal of the simulated cluster."""

    count = "$.operation.replicas"
    main, other = PORTAL, "report-worker"
    precondition = (state, "check_precondition", always(None))

    async def request(self, who: Principal, replicas: int) -> Change:
        changes = self.bench.built.changes
        return await changes.request(who, None, DEPLOYMENT, PRODUCTION, PORTAL, Scale(replicas=replicas))

    async def replicas(self, name: str = "") -> int:
        return await self.bench.replicas(name or self.main)

    async def meddle(self, replicas: int) -> None:
        live = await self.bench.cluster.get(DEPLOYMENT, PRODUCTION, PORTAL)
        await self.bench.cluster.replace({**live, "spec": {**live["spec"], "replicas": replicas}})


@dataclass
class AccountDesk(Desk):
    """The service `web` of the ECS cluster `shop`."""

    account: Account
    count = "$.operation.desired_count"
    main, other = "web", "api"
    precondition = (aws_target, "digest_of", always("same"))

    async def request(self, who: Principal, replicas: int) -> Change:
        changes, operation = self.bench.built.changes, UpdateService(desired_count=replicas)
        return await changes.request_cloud(who, None, ECS_SERVICE, "shop", self.main, operation)

    async def replicas(self, name: str = "") -> int:
        return self.account.desired(name or self.main)[0]

    async def meddle(self, replicas: int) -> None:
        self.account.client("ecs").update_service(cluster="shop", service=self.main, desiredCount=replicas)


Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[Desk]]


def opening(folder: Path, account: Account | None, with_glass: bool) -> Opening:
    """Opens a desk, and another one with the same data if it is called again."""
    given: Mapping[str, Any] = {"freezes": FREEZE, "break_glass": "on"} if with_glass else {}
    if account is not None:
        for name in (AccountDesk.main, AccountDesk.other):
            account.service(name)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Desk]:
        settings = {**(account.settings if account else {}), **given}
        async with bench(folder, **settings) as built:
            yield AccountDesk(built, with_glass, account) if account else ClusterDesk(built, with_glass)

    return opened
